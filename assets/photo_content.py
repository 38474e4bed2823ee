"""Photo content: what a photo's file tells about itself."""

from __future__ import annotations

from assets.pipeline_asset import file_asset
from partitions.file_sets import PHOTO_FILES
from photo_popularity.domain.photo_decoding import PhotoLimits
from photo_popularity.domain.photos import read_photo
from resources.output_parts import Row
from resources.pods import Pod
from resources.source_file import FileUnreadable, SourceFile


@file_asset(PHOTO_FILES, libraries=("pillow",), pod=Pod(cpu="1", memory="2Gi"))
def photo_content(file: SourceFile) -> Row:
    """One row is a photo file: size, format, orientation, EXIF and how bright, colourful and sharp the picture is.

    A file that cannot be read has a row too: `problem` says why, and its measurements are null. It is tried again when
    its bytes change. Processed as files arrive, within two minutes.
    """
    limits = PhotoLimits()
    try:
        start = file.read_start(at_most=limits.file_bytes + 1)
    except FileUnreadable as error:
        row = {**read_photo(b""), "problem": str(error)}
    else:
        # of a file over the limit only the start was read, but its size and version are those of all of it
        known = {"bytes": start.size, "content_version": start.content_version}
        row = {**read_photo(start.data, limits=limits), **known}
    if row["problem"]:
        file.warn(str(row["problem"]))
    return row
