"""The sources as Dagster shows them: where the lineage begins. Nothing here is materialized by this pipeline.

They have no partitions here, or a page would call every file missing: what is there now is told by an observation each
time that it changed.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from assets.column_schema import column_schema
from assets.pipeline_asset import OWNERS
from photo_popularity.domain.schemas import FILES, PHOTO_ROWS, Column
from resources.pipeline import DATABASE, Pipeline


def source_specs(pipeline: Pipeline) -> list[dg.AssetSpec]:
    """One external asset a source."""
    database = _spec(
        DATABASE,
        "The photo site's database: tables `photos` and `users`. It is read by UTC day of upload.",
        columns=PHOTO_ROWS,
        group="sources",
        kind="sql",
    )
    each = "Each file is a partition of the assets that read it, or shares one with others of its folder or bucket."
    return [
        database,
        *(
            _spec(name, f"{files.description} {each}".strip(), columns=FILES, group=files.group, kind="file")
            for name, files in pipeline.file_sets.items()
        ),
    ]


def _spec(
    name: str, description: str, *, columns: Mapping[str, Column], group: str, kind: str
) -> dg.AssetSpec:
    return dg.AssetSpec(
        name,
        description=description,
        metadata={"dagster/column_schema": column_schema(columns)},
        group_name=group,
        kinds={kind},
        owners=list(OWNERS),
        tags={"photo_popularity/source": ""},
    )
