"""The rows of a day that stand in very many files, kept together so that next time the changed files alone are read.

Reading a thousand small files takes longer than all that is done with them, and from an object store many times as long.
A bundle is no result: it can be deleted at any time, and what it has of a file counts only as long as the file's output
is of the same version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from partitions.files import file_of
from photo_popularity.domain.content import VERSION_DIGITS, version_of
from photo_popularity.domain.schemas import TableSchema
from resources.catalog_records import Output
from resources.storage import FileStorage
from resources.together import call_together

FEWEST_FILES = 64
MOST_PIECES = 32
_VERSIONS = b"versions"


@dataclass(frozen=True)
class _Bundle:
    """The rows of a day in some files, and the version of each file's output that they are from."""

    versions: Mapping[str, str]
    table: pa.Table


@dataclass(frozen=True)
class DayBundles:
    """The bundles of an asset of files below one root, for days with FEWEST_FILES of them or more.

    The asset's index column is the day of a row.
    """

    asset: str
    schema: TableSchema
    files: FileStorage

    def rows(
        self,
        wanted: Mapping[str, Sequence[str]],
        outputs: Mapping[str, Output],
        read: Callable[[Mapping[str, Output]], Mapping[str, pa.Table]],
    ) -> pa.Table:
        """The rows of each day in the files that are `wanted` for it; `read` gives all rows of some files."""
        empty = _Bundle({}, self.schema.arrow.empty_table())
        versions = {day: {key: outputs[key].content_version for key in keys} for day, keys in wanted.items()}
        kept = [day for day, its in versions.items() if len(its) >= FEWEST_FILES]
        bundles = dict.fromkeys(wanted, empty) | dict(
            zip(kept, call_together(lambda day: self._load(day) or empty, kept), strict=True)
        )
        fresh = read(
            {
                key: outputs[key]
                for day, its in versions.items()
                for key, version in its.items()
                if bundles[day].versions.get(key) != version
            }
        )
        changed = [day for day, its in versions.items() if bundles[day].versions != its]
        for day in changed:
            bundles[day] = self._brought_up(bundles[day], day, versions[day], fresh)
        call_together(
            lambda day: self.files.write(self._path(day), _encode(bundles[day])),
            [day for day in changed if day in kept],
        )
        return pa.concat_tables([empty.table, *(its.table for its in bundles.values())])

    def _brought_up(
        self, bundle: _Bundle, day: str, versions: Mapping[str, str], fresh: Mapping[str, pa.Table]
    ) -> _Bundle:
        same = [key for key, version in versions.items() if bundle.versions.get(key) == version]
        names = pa.array([file_of(key) for key in same], pa.string())
        is_kept = pc.is_in(bundle.table[self.schema.partition_column], names).to_numpy()
        moment = pa.scalar(date.fromisoformat(day))
        new = [
            fresh[key].filter(pc.equal(fresh[key][self.schema.index_column], moment))
            for key in sorted(versions.keys() - same)
        ]
        table = pa.concat_tables([*_stretches(bundle.table, is_kept), *new])
        # in few pieces, or it would be written and read a file at a time
        is_scattered = table.column(0).num_chunks > MOST_PIECES
        return _Bundle(versions, table.combine_chunks() if is_scattered else table)

    def _load(self, day: str) -> _Bundle | None:
        """The bundle of a day; None when there is none, it is damaged, or another release has kept other columns."""
        try:
            data = self.files.read(self._path(day))
        except FileNotFoundError:
            return None
        version, arrow = data[:VERSION_DIGITS], data[VERSION_DIGITS:]
        if version_of(arrow).encode() != version:
            return None
        table = pa.ipc.open_file(pa.BufferReader(arrow)).read_all()
        versions = json.loads(table.schema.metadata[_VERSIONS])
        table = table.replace_schema_metadata()
        return _Bundle(versions, table) if table.schema.equals(self.schema.arrow) else None

    def _path(self, day: str) -> str:
        return f"bundles/{self.asset}/{day}.bundle"


def _stretches(table: pa.Table, wanted: np.ndarray) -> Iterator[pa.Table]:
    """The wanted rows as they lie in memory: a day's rows are copied in more time than all else takes."""
    edges = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    for start, end in edges.reshape(-1, 2).tolist():
        yield table.slice(start, end - start)


def are_worthwhile(wanted: Mapping[str, Sequence[str]]) -> bool:
    """Whether a day has so many files that its rows are kept together."""
    return any(len(files) >= FEWEST_FILES for files in wanted.values())


def _encode(bundle: _Bundle) -> bytes:
    """An Arrow file, with its content version before it: Arrow itself does not notice all damage."""
    table = bundle.table.replace_schema_metadata({_VERSIONS: json.dumps(bundle.versions)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        file.write_table(table)
    arrow = bytes(sink.getvalue())
    return version_of(arrow).encode() + arrow
