"""Photo metadata: what the site's database knows of each photo, by UTC day of upload."""

from __future__ import annotations

from datetime import date

import pandas as pd

from assets.pipeline_asset import day_asset
from assets.progress import Work
from partitions.reads import SameKey
from resources.photo_database import PhotoDatabase


@day_asset(
    reads={"photo_database": SameKey()},
    code=(PhotoDatabase,),
    group="sources",
    kinds=("sql", "parquet"),
)
def photo_metadata(work: Work, photo_database: PhotoDatabase) -> pd.DataFrame:
    """One row is a photo as the database has it, deleted ones too, in the partition of its UTC day of upload.

    Read from the tables `photos` and `users`. An edit or a deletion changes only that photo's upload day; the sensor
    sees it within a minute.
    """
    keys = work.partition_keys
    found = photo_database.read(date.fromisoformat(min(keys)), date.fromisoformat(max(keys)))
    for sentence in found.unusable:
        work.log.warning(sentence)
    # a backfill of scattered days reads the span between them
    inside = found.frame["day"].dt.strftime("%Y-%m-%d").isin(keys)
    return pd.DataFrame(found.frame[inside]).copy()
