"""The sources as Dagster shows them: where the lineage begins. Nothing here is materialized by this pipeline."""

from __future__ import annotations

import dagster as dg

from assets.pipeline_asset import OWNERS
from partitions.files import LOG_FILES, PHOTO_FILES

DESCRIPTIONS = {
    "photo_database": "The photo site's database: tables `photos` and `users`. A partition is a UTC day of upload.",
    "photo_files": "The folder of photo files, one partition a file. It grows all day; files may change or disappear.",
    "log_files": "The folder of web access logs, one partition a file. A rotated file may hold lines of two UTC days.",
}
GROUPS = {"photo_database": "sources", "photo_files": "photos", "log_files": "logs"}
KINDS = {"photo_database": {"sql"}, "photo_files": {"file"}, "log_files": {"file"}}


def source_specs(days: dg.PartitionsDefinition) -> list[dg.AssetSpec]:
    """One external asset a source."""
    partitions = {"photo_database": days, "photo_files": PHOTO_FILES, "log_files": LOG_FILES}
    return [
        dg.AssetSpec(
            name,
            description=DESCRIPTIONS[name],
            partitions_def=partitions[name],
            group_name=GROUPS[name],
            kinds=KINDS[name],
            owners=list(OWNERS),
            tags={"photo_popularity/source": ""},
        )
        for name in DESCRIPTIONS
    ]
