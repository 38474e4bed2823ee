"""What the catalog holds: outputs and executions, and the tables that they are rows of."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from resources.json_object import JsonObject

REJECTED, QUARANTINED = "rejected", "quarantined"
LOST = "photo-popularity verify: its file is lost"
"""What rejects an output whose file is not there any more."""


NOTHING = JsonObject("{}")


class Output(NamedTuple):
    """The current output of one partition of one asset, or the last seen state of one source partition.

    `path` is relative to the storage root of `environment`. `inputs` maps each input's name to the digest of the
    versions it was read in. `index` holds the distinct values of the schema's index column. There may be a million of
    these at a time.
    """

    content_version: str
    path: str = ""
    rows: int = 0
    bytes: int = 0
    inputs: Mapping[str, str] = NOTHING
    fingerprint: str = ""
    index: tuple[str, ...] = ()  # type: ignore[assignment]  # in the place of a method that nobody needs
    detail: Mapping[str, Any] = NOTHING
    environment: str = ""
    run_id: str = ""

    @property
    def rejected(self) -> str:
        """Which blocking check rejected it; empty while it may be built on."""
        return str(self.detail.get(REJECTED, ""))

    @property
    def is_lost(self) -> bool:
        """Whether its file is known to be gone; it is made again when its turn comes."""
        return self.rejected == LOST

    @property
    def quarantined(self) -> str:
        """Why this partition has no result, though it was tried: tried again when its inputs or the code change."""
        return str(self.detail.get(QUARANTINED, ""))


@dataclass(frozen=True)
class Execution:
    """One attempt to make one partition of one asset: `status` is started, succeeded, quarantined or failed."""

    asset: str
    partition: str
    status: str
    run_id: str
    environment: str
    launched_by: str
    started_at: datetime
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""
    seconds: float | None = None
    rows: int | None = None
    bytes: int | None = None
    content_version: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Finished:
    """An execution that has ended with an output, and what that was made from, see `made_from`."""

    execution: Execution
    output: Output
    made_from: str


@dataclass(frozen=True)
class Remembered:
    """An output that was made before, and the partition that it was made for."""

    partition: str
    output: Output


@dataclass(frozen=True)
class Expected:
    """What an asset would be made with now; its partitions read the same partition of each of `inputs`, in order."""

    asset: str
    fingerprint: str
    inputs: Sequence[str]


@dataclass(frozen=True)
class Untold:
    """A partition of which Dagster is yet to be told: by the run, as long as that lives, and then by whoever looks next."""

    asset: str
    partition: str
    run_id: str


@dataclass(frozen=True)
class Tables:
    """The catalog's tables, in one schema of a database."""

    metadata: sa.MetaData
    current: sa.Table
    memo: sa.Table
    executions: sa.Table
    untold: sa.Table
    versions: sa.Table


def tables(schema: str | None) -> Tables:
    """The tables in that schema, as `catalog_versions.VERSIONS` makes them; None for the database's default one."""
    metadata = sa.MetaData(schema=schema)
    current = sa.Table(
        "current_outputs",
        metadata,
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        *_output_columns(),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        # in the order of the keys, in which all are read
        sqlite_with_rowid=False,
    )
    memo = sa.Table(
        "memo",
        metadata,
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("made_from", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, nullable=False),
        *_output_columns(),
    )
    executions = sa.Table(
        "executions",
        metadata,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("asset", sa.Text, nullable=False),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False, index=True),
        sa.Column("run_id", sa.Text, nullable=False, index=True),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("launched_by", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False, index=True),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("log", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("rows", sa.BigInteger),
        sa.Column("bytes", sa.BigInteger),
        sa.Column("content_version", sa.Text),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
    )
    untold = sa.Table(
        "untold",
        metadata,
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False, index=True),
    )
    # see `catalog_versions.py`: it changes no more, or an older release could not tell what it stands before
    versions = sa.Table(
        "catalog_versions",
        metadata,
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("breaking", sa.Boolean, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("made_at", sa.Text, nullable=False),
    )
    return Tables(metadata, current, memo, executions, untold, versions)


def _output_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("content_version", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("index", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
    ]


def made_from(fingerprint: str, inputs: Mapping[str, str], *, name: str = "") -> str:
    """What an output was made from, as one digest: the same twice gives the same output.

    `name` is the partition's key where the result depends on it too, as it does for a day.
    """
    content = json.dumps([fingerprint, sorted(inputs.items()), name])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def output_values(output: Output) -> dict[str, Any]:
    """The columns of an output, without the key of its row."""
    return {
        "content_version": output.content_version,
        "path": output.path,
        "rows": output.rows,
        "bytes": output.bytes,
        "inputs": JsonObject.of(output.inputs).text,
        "fingerprint": output.fingerprint,
        "index": json.dumps(output.index),
        "detail": JsonObject.of(output.detail).text,
        "environment": output.environment,
        "run_id": output.run_id,
    }


OUTPUT_COLUMNS = tuple(column.name for column in _output_columns())


def output_of(values: Sequence[Any]) -> Output:
    """The output in these values of `OUTPUT_COLUMNS`."""
    version, path, rows, size, inputs, fingerprint, index, detail, environment, run_id = values
    return Output(
        version,
        path,
        rows,
        size,
        JsonObject(inputs),
        fingerprint,
        () if index == "[]" else tuple(json.loads(index)),
        NOTHING if detail == "{}" else JsonObject(detail),
        environment,
        run_id,
    )


def execution_values(execution: Execution) -> dict[str, Any]:
    """The columns of a row of `executions`."""
    return {
        **{name: getattr(execution, name) for name in Execution.__dataclass_fields__},
        "launched_by": _storable(execution.launched_by),
        "error": None if execution.error is None else _storable(execution.error),
        # in one zone, so that they sort as text
        "started_at": execution.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "parameters": json.dumps(dict(execution.parameters), sort_keys=True),
        "inputs": json.dumps(dict(execution.inputs), sort_keys=True),
    }


def execution_of(row: Any) -> Execution:
    """The execution in a row of `executions`."""
    values = dict(row._mapping)
    values["started_at"] = datetime.fromisoformat(values["started_at"])
    values["parameters"], values["inputs"] = json.loads(values["parameters"]), json.loads(values["inputs"])
    return Execution(**values)


def _storable(text: str) -> str:
    """The text without what a database refuses, which a file's name inside an error may hold."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
