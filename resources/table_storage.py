"""Loading and committing the tables and models of a step, behind Dagster's I/O managers.

One step works on a snapshot of the catalog: what it loads, and the input versions recorded with what it makes, agree.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from photo_popularity.domain import tables
from photo_popularity.domain.schemas import SCHEMAS
from resources.catalog import Catalog
from resources.catalog_records import Execution, Output
from resources.environment import Environment
from resources.pipeline import Declaration, Pipeline, Snapshot, digest
from resources.storage import FileStorage


class Source(Protocol):
    """Something outside the pipeline that a step reads: it knows the version of what was last read of a partition."""

    versions_read: dict[str, str]


@dataclass(frozen=True)
class ModelFile:
    """A fitted model as bytes, and its card: what it was trained on, how, and what it reached."""

    data: bytes
    version: str
    card: Mapping[str, Any]


Made = pd.DataFrame | ModelFile


@dataclass(frozen=True)
class Result:
    """What a step has made of one asset: the table or model, and what its page shows beside it.

    `details` are facts of one partition that the catalog keeps too, by partition key.
    """

    made: Made
    metadata: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class Step:
    """One step of one run while it executes."""

    declaration: Declaration
    partitions: list[str]
    snapshot: Snapshot
    run_id: str
    launched_by: str
    log: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    executions: dict[tuple[str, str], Execution] = field(default_factory=dict)
    committed: dict[tuple[str, str], Output] = field(default_factory=dict)
    seconds: float | None = None


class TableStorage:
    """Outputs of one environment: files below its root, and the catalog that says which are current."""

    def __init__(
        self, *, environment: Environment, pipeline: Pipeline, catalog: Catalog, sources: Mapping[str, Source]
    ) -> None:
        self.environment, self.pipeline, self.catalog, self.sources = environment, pipeline, catalog, sources
        self.files = self._files_of(environment)
        self._published = self._files_of(environment.production) if environment.production else None
        self._steps: dict[tuple[str, str], Step] = {}
        self._lock = threading.Lock()

    def _files_of(self, environment: Environment) -> FileStorage:
        return FileStorage(environment.storage_root, s3_endpoint=environment.settings.s3_endpoint)

    def file_url(self, output: Output) -> str:
        """Where the output's file lies."""
        return self._storage_of(output).url(output.path)

    def _storage_of(self, output: Output) -> FileStorage:
        inherited = output.environment != self.environment.label
        return self._published if inherited and self._published else self.files

    def step(self, run_id: str, name: str, *, partitions: Sequence[str], launched_by: str) -> Step:
        """The step's state, made when it is first asked for."""
        with self._lock:
            if (run_id, name) not in self._steps:
                self._steps[run_id, name] = Step(
                    declaration=next(step for step in self.pipeline.steps if step.name == name),
                    partitions=list(partitions),
                    snapshot=Snapshot(self.catalog),
                    run_id=run_id,
                    launched_by=launched_by,
                    log=str(self.environment.run_logs / f"{run_id}.log"),
                )
            return self._steps[run_id, name]

    def forget(self, step: Step) -> None:
        """Drop the state of a step that has ended."""
        with self._lock:
            self._steps.pop((step.run_id, step.declaration.name), None)

    def begin(self, step: Step) -> None:
        """Record the start of an execution for each output partition."""
        parameters = dict(step.declaration.parameters(self.environment))
        for asset in step.declaration.makes:
            for partition in step.partitions:
                step.executions[asset, partition] = Execution(
                    asset=asset,
                    partition=partition,
                    status="started",
                    run_id=step.run_id,
                    environment=self.environment.label,
                    launched_by=step.launched_by,
                    started_at=step.started_at,
                    parameters=parameters,
                    log=step.log,
                )
        self.catalog.begin(list(step.executions.values()))

    def fail(self, step: Step, error: str) -> None:
        """Record that what the step had begun and not committed has failed."""
        left = [execution for key, execution in step.executions.items() if key not in step.committed]
        self.catalog.fail(left, error)

    def load(self, asset: str, step: Step) -> pd.DataFrame | dict[str, ModelFile]:
        """What the step reads of `asset`, for all of its partitions together: one frame, or models by partition."""
        read = step.declaration.reads[asset]
        outputs = step.snapshot.outputs(asset)
        wanted = {key for partition in step.partitions for key in read.select(asset, partition, step.snapshot.outputs)}
        return self.read_table(asset, {key: outputs[key] for key in sorted(wanted)})

    def read_table(self, asset: str, outputs: Mapping[str, Output]) -> pd.DataFrame | dict[str, ModelFile]:
        """The rows of these outputs in one frame; for a model, the models by partition."""
        if asset not in SCHEMAS:
            return {key: self._read_model(output) for key, output in outputs.items()}
        parts = [tables.decode(self._read(asset, key, output)) for key, output in outputs.items()]
        empty = SCHEMAS[asset].arrow.empty_table()
        return tables.to_frame(pa.concat_tables([empty, *parts]))

    def _read(self, asset: str, partition: str, output: Output) -> bytes:
        try:
            return self._storage_of(output).read(output.path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{asset} {partition}: the catalog names {self.file_url(output)}, which is not there; "
                f"materialize {asset} for {partition} again"
            ) from error

    def _read_model(self, output: Output) -> ModelFile:
        storage = self._storage_of(output)
        card = json.loads(storage.read(output.path.removesuffix(".skops") + ".json"))
        return ModelFile(storage.read(output.path), card["model_version"], card)

    def commit(self, asset: str, result: Result, step: Step) -> dict[str, Output]:
        """Store the step's output of `asset`, partition by partition, and make it current.

        A frame is split on its schema's partition column; rows of a partition that was not asked for are an error.
        """
        made = result.made
        parts = self._model_parts(made, step) if isinstance(made, ModelFile) else self._table_parts(asset, made, step)
        step.seconds = (datetime.now(UTC) - step.started_at).total_seconds()
        fingerprint = step.declaration.fingerprint(self.environment)
        outputs: dict[str, Output] = {}
        for partition, part in parts.items():
            for path, data in part.files.items():
                self.files.write(f"{asset}/{partition}/{path}", data)
            main, data = next(iter(part.files.items()))
            outputs[partition] = Output(
                content_version=part.version,
                path=f"{asset}/{partition}/{main}",
                rows=part.rows,
                bytes=len(data),
                inputs=self._inputs_read(step, partition),
                fingerprint=fingerprint,
                index=part.index,
                detail=result.details.get(partition, {}),
                environment=self.environment.label,
                run_id=step.run_id,
            )
        self._commit_rows(asset, outputs, step)
        return outputs

    def _commit_rows(self, asset: str, outputs: Mapping[str, Output], step: Step) -> None:
        if not step.executions:
            self.begin(step)
        share = round((step.seconds or 0.0) / max(len(outputs), 1), 4)
        finished = {
            partition: (replace(step.executions[asset, partition], seconds=share), output)
            for partition, output in outputs.items()
        }
        self.catalog.commit(asset, finished)
        step.committed.update({(asset, partition): output for partition, output in outputs.items()})

    def _inputs_read(self, step: Step, partition: str) -> dict[str, str]:
        """The input digests of one partition: sources in the version that was really read, not the one last seen."""
        inputs = step.snapshot.input_digests(step.declaration, partition)
        for name, source in self.sources.items():
            if name in step.declaration.reads:
                version = source.versions_read.get(partition)
                inputs[name] = digest({partition: version} if version is not None else {})
        return inputs

    def _table_parts(self, asset: str, frame: pd.DataFrame, step: Step) -> dict[str, _Part]:
        schema, groups = SCHEMAS[asset], by_partition(asset, frame)
        unknown = set(groups) - set(step.partitions)
        if unknown:
            raise ValueError(f"{asset}: rows of partitions that were not asked for: {sorted(unknown)[:5]}")
        parts = {}
        for partition in step.partitions:
            table = tables.to_table(groups.get(partition, frame.iloc[:0]), schema, name=f"{asset} {partition}")
            version = tables.content_version(table)
            index = tuple(sorted({str(v) for v in table[schema.index_column].to_pylist()})) if schema.index_column else ()
            parts[partition] = _Part({f"{version}.parquet": tables.encode(table)}, version, len(table), index)
        return parts

    def _model_parts(self, model: ModelFile, step: Step) -> dict[str, _Part]:
        if len(step.partitions) != 1:
            raise ValueError(f"{step.declaration.name}: a model is made for one partition, not {len(step.partitions)}")
        version = model.version.rsplit("-", 1)[-1]
        card = json.dumps({**model.card, "model_version": model.version}, indent=2, sort_keys=True).encode()
        return {step.partitions[0]: _Part({f"{version}.skops": model.data, f"{version}.json": card}, version, 1)}


@dataclass(frozen=True)
class _Part:
    files: Mapping[str, bytes]
    version: str
    rows: int
    index: tuple[str, ...] = ()


def by_partition(asset: str, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The frame's rows by partition key."""
    schema = SCHEMAS[asset]
    keys = frame[schema.partition_column]
    if schema.columns[schema.partition_column].type == pa.date32():
        keys = keys.dt.strftime("%Y-%m-%d")
    return {str(key): rows for key, rows in frame.groupby(keys.to_numpy(), sort=False)}


def preview(frame: pd.DataFrame, *, rows: int = 5) -> str:
    """The first rows as a Markdown table, long texts cut."""
    head = frame.head(rows).map(_short)
    lines = ["| " + " | ".join(head.columns) + " |", "|" + " --- |" * len(head.columns)]
    lines += ["| " + " | ".join(values) + " |" for values in head.itertuples(index=False, name=None)]
    return "\n".join(lines)


def _short(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= 40 else text[:39] + "…"

