"""The sources as Dagster shows them: where the lineage begins. Nothing here is materialized by this pipeline.

They have no partitions here, or a page would call every file missing: what is there now is told by an observation each
time that it changed.
"""

from __future__ import annotations

import dagster as dg

from assets.column_schema import column_schema
from assets.pipeline_asset import OWNERS
from photo_popularity.domain.schemas import FILES, PHOTO_ROWS

DESCRIPTIONS = {
    "photo_database": "The photo site's database: tables `photos` and `users`. It is read by UTC day of upload.",
    "photo_files": "The folder of photo files. It grows all day; files may change or disappear. Each is a partition "
    "of the assets that read it.",
    "log_files": "The folder of web access logs. A rotated file may hold lines of two UTC days. Each is a partition of "
    "the assets that read it.",
}
COLUMNS = {"photo_database": PHOTO_ROWS, "photo_files": FILES, "log_files": FILES}
GROUPS = {"photo_database": "sources", "photo_files": "photos", "log_files": "logs"}
KINDS = {"photo_database": {"sql"}, "photo_files": {"file"}, "log_files": {"file"}}


def source_specs() -> list[dg.AssetSpec]:
    """One external asset a source."""
    return [
        dg.AssetSpec(
            name,
            description=DESCRIPTIONS[name],
            metadata={"dagster/column_schema": column_schema(COLUMNS[name])},
            group_name=GROUPS[name],
            kinds=KINDS[name],
            owners=list(OWNERS),
            tags={"photo_popularity/source": ""},
        )
        for name in DESCRIPTIONS
    ]
