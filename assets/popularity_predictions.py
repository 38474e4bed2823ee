"""Popularity predictions: the views that each photo may expect."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from assets.pictures import picture
from assets.pipeline_asset import day_asset
from assets.progress import Work
from partitions.files import key_of
from partitions.reads import FilesListedUntilDay, SameKey, UntilDay
from photo_popularity.domain import plots
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.photo_decoding import PhotoLimits
from photo_popularity.domain.popularity import predict, read_model
from resources.output_parts import ModelFile, Result
from resources.sources import FileSource

PHOTOS_SHOWN = 10


@day_asset(
    reads={
        "popularity_model": SameKey(),
        "photo_features": SameKey(),
        # these two only for the contact sheet: which file belongs to a photo, and whether it is safe to open
        "photo_metadata": UntilDay(),
        "photo_content": FilesListedUntilDay("photo_metadata"),
    },
    group="popularity",
    kinds=("scikitlearn", "parquet"),
)
def popularity_predictions(
    work: Work,
    *,
    popularity_model: dict[str, ModelFile],
    photo_features: pd.DataFrame,
    photo_metadata: pd.DataFrame,
    photo_content: pd.DataFrame,
    photo_files: FileSource,
) -> Result:
    """One row is a photo alive at the end of the night, with the views by people expected in the seven days after it.

    Made every night from that night's model and features. The picture shows the photos that lead the last night.
    """
    frames = [
        predict(read_model(popularity_model[f"{night:%Y-%m-%d}"].data), features)
        for night, features in photo_features.groupby("day")
    ]
    if not frames:
        raise InputError(
            f"popularity_predictions {work.partition_keys[-1]}: no photo is alive; check that the photo database is the "
            "live one"
        )
    predictions = pd.concat(frames, ignore_index=True)
    readable = photo_content.loc[photo_content["problem"].isna(), "file"]
    files = photo_metadata[photo_metadata["file"].isin(readable)].set_index("photo_id")["file"]
    leading = predictions[predictions["day"] == predictions["day"].max()].nlargest(
        PHOTOS_SHOWN, "expected_views"
    )
    sheet = plots.contact_sheet(list(_tiles(leading, files, photo_files)))
    return Result(predictions, {"photos": len(predictions), "most_popular": picture(sheet)})


def _tiles(
    leading: pd.DataFrame, files: pd.Series, photo_files: FileSource
) -> Iterator[tuple[str, float, bytes]]:
    """Each photo with its expected views and the bytes of its file; none where it cannot be read: a grey tile."""
    for photo_id, expected in zip(leading["photo_id"], leading["expected_views"], strict=True):
        try:
            data = photo_files.read(key_of(files[photo_id]), at_most=PhotoLimits().file_bytes)
        except (KeyError, OSError):
            data = b""
        yield photo_id, expected, data
