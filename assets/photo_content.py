"""Photo content: what a photo's file tells about itself."""

from __future__ import annotations

import pandas as pd

from assets.pipeline_asset import pipeline_asset
from assets.progress import Work, followed
from partitions.files import file_of
from partitions.reads import SameKey
from photo_popularity.domain.photo_decoding import PhotoLimits
from photo_popularity.domain.photos import read_photo
from resources.sources import FileSource


@pipeline_asset(
    partitions="photo_files",
    reads={"photo_files": SameKey()},
    libraries=("pillow",),
    group="photos",
    kinds=("python", "parquet"),
)
def photo_content(work: Work, photo_files: FileSource) -> pd.DataFrame:
    """One row is a photo file: size, format, orientation, EXIF and how bright, colourful and sharp the picture is.

    A file that cannot be read has a row too: `problem` says why, and its measurements are null. It is tried again when
    its bytes change. Processed as files arrive, within two minutes.
    """
    rows = []
    for key in followed(work, work.partition_keys, "photos"):
        rows.append(_row(photo_files, key))
        if rows[-1]["problem"]:
            work.log.warning(f"{key}: {rows[-1]['problem']}")
    return pd.DataFrame(rows)


def _row(photo_files: FileSource, key: str) -> dict[str, object]:
    file, limits = file_of(key), PhotoLimits()
    try:
        start = photo_files.read_start(key, at_most=limits.file_bytes + 1)
    except OSError as error:
        problem = f"the file cannot be read ({error}); check that it exists and who may read it"
        return {**read_photo(b"", file=file), "problem": problem}
    row = read_photo(start.data, file=file, limits=limits)
    # of a file over the limit only the start was read, but its size and version are those of all of it
    return {**row, "bytes": start.size, "content_version": start.content_version}
