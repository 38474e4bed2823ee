"""What the catalog holds: outputs and executions, and the tables that they are rows of."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

REJECTED, QUARANTINED = "rejected", "quarantined"


@dataclass(frozen=True)
class Output:
    """The current output of one partition of one asset, or the last seen state of one source partition.

    `path` is relative to the storage root of `environment`. `inputs` maps each input's name to the digest of the
    versions it was read in. `index` holds the distinct values of the schema's index column.
    """

    content_version: str
    path: str = ""
    rows: int = 0
    bytes: int = 0
    inputs: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    index: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    run_id: str = ""

    @property
    def rejected(self) -> str:
        """Which blocking check rejected it; empty while it may be built on."""
        return str(self.detail.get(REJECTED, ""))

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
class Tables:
    """The catalog's tables, in one schema of a database."""

    metadata: sa.MetaData
    current: sa.Table
    memo: sa.Table
    executions: sa.Table


def tables(schema: str | None) -> Tables:
    """The tables in that schema; None for the database's default one."""
    metadata = sa.MetaData(schema=schema)
    current = sa.Table(
        "current_outputs",
        metadata,
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        *_output_columns(),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
    )
    memo = sa.Table(
        "made_before",
        metadata,
        sa.Column("asset", sa.Text, primary_key=True),
        sa.Column("partition", sa.Text, primary_key=True),
        sa.Column("made_from", sa.Text, primary_key=True),
        *_output_columns(),
    )
    executions = sa.Table(
        "executions",
        metadata,
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("asset", sa.Text, nullable=False),
        sa.Column("partition", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
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
    return Tables(metadata, current, memo, executions)


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


def made_from(fingerprint: str, inputs: Mapping[str, str]) -> str:
    """What an output was made from, as one digest: the same twice gives the same output."""
    content = json.dumps([fingerprint, sorted(inputs.items())])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def output_values(output: Output) -> dict[str, Any]:
    """The columns of an output, without the key of its row."""
    return {
        "content_version": output.content_version,
        "path": output.path,
        "rows": output.rows,
        "bytes": output.bytes,
        "inputs": json.dumps(dict(output.inputs), sort_keys=True),
        "fingerprint": output.fingerprint,
        "index": json.dumps(output.index),
        "detail": json.dumps(dict(output.detail), sort_keys=True),
        "environment": output.environment,
        "run_id": output.run_id,
    }


def output_of(row: Any) -> Output:
    """The output in a row."""
    return Output(
        content_version=row.content_version,
        path=row.path,
        rows=row.rows,
        bytes=row.bytes,
        inputs=json.loads(row.inputs),
        fingerprint=row.fingerprint,
        index=tuple(json.loads(row._mapping["index"])),
        detail=json.loads(row.detail),
        environment=row.environment,
        run_id=row.run_id,
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
