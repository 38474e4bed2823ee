"""Outputs whose file is gone from the storage or cut short: found by a listing, and put on record as to be made again.

Whether what a file holds is what was written is seen when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog
from resources.catalog_records import LOST, Output
from resources.errors import SourceUnavailable
from resources.folder_listing import walk
from resources.output_parts import folder_of
from resources.outputs import MODEL_SUFFIX, OutputReader, beside
from resources.storage import FileStorage

Lost = dict[str, dict[str, Output]]
"""By asset and partition."""


def outputs_of(catalog: Catalog, label: str, assets: Sequence[str]) -> Lost:
    """The current outputs that the environment has made itself and that have a file."""
    return {
        asset: {
            partition: output
            for partition, output in catalog.current(asset).items()
            if output.environment == label and not output.quarantined
        }
        for asset in assets
    }


def find_lost(reader: OutputReader, label: str, assets: Sequence[str], *, may_be_all: bool = False) -> Lost:
    """The outputs of the environment whose file is not there, or has another size than when it was written.

    Raises InputError when not one file is there, unless that `may_be_all`: the storage is rather not mounted than lost;
    SourceUnavailable when it cannot be listed.
    """
    # before the files are listed: of what is made in between the file would not be among them
    outputs = outputs_of(reader.catalog, label, assets)
    sizes = _sizes(reader.files[label])
    lost = {
        asset: {key: output for key, output in its.items() if not _is_whole(asset, key, output, sizes)}
        for asset, its in outputs.items()
    }
    every, gone = (sum(map(len, found.values())) for found in (outputs, lost))
    if gone and gone == every and not may_be_all:
        raise InputError(
            f"none of the {every:,} files of {label} is below {reader.files[label].root}; look whether it is mounted and "
            "its credentials are right, and if they are truly lost, add --all-lost"
        )
    return {asset: its for asset, its in lost.items() if its}


def record_lost(catalog: Catalog, lost: Lost) -> None:
    """Put on record that these are to be made again; until then nothing is built on them, and queries leave them out."""
    for asset, its in lost.items():
        catalog.reject(asset, its, LOST)


def _sizes(files: FileStorage) -> Mapping[str, int]:
    try:
        return {path: json.loads(seen)["size"] for path, seen, _ in walk(files.root)}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SourceUnavailable(f"{files.root} cannot be listed: {error}") from error


def _is_whole(asset: str, partition: str, output: Output, sizes: Mapping[str, int]) -> bool:
    return all(_has_size(size, sizes.get(path)) for path, size in _files(asset, partition, output))


def _files(asset: str, partition: str, output: Output) -> Iterator[tuple[str, int | None]]:
    """The files of an output, each with its size where that is known: of a file with the rows of several, it is not."""
    alone = output.path.startswith(f"{folder_of(asset, partition)}/")
    yield output.path, output.bytes if alone else None
    if output.path.endswith(MODEL_SUFFIX):
        yield beside(output, ".json").path, None


def _has_size(expected: int | None, found: int | None) -> bool:
    return found is not None and expected in (None, found)
