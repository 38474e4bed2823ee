"""Loading and committing the tables and models of a step, behind Dagster's I/O managers.

One step works on a snapshot of the catalog: what it loads, and the input versions recorded with what it makes, agree.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa

from partitions.reads import SameKey
from photo_popularity.domain import tables
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.schemas import SCHEMAS
from resources.catalog_records import QUARANTINED, Execution, Output, made_from
from resources.environment import Environment
from resources.output_parts import ModelFile, Result, folder_of, parts_of
from resources.outputs import OutputReader, beside
from resources.pipeline import Declaration, Pipeline, Snapshot, digest
from resources.steps import Source, Step


class TableStorage:
    """Outputs of one environment: files below its root, and the catalog that says which are current."""

    def __init__(
        self,
        outputs: OutputReader,
        *,
        environment: Environment,
        pipeline: Pipeline,
        sources: Mapping[str, Source],
    ) -> None:
        self.environment, self.pipeline, self.sources = environment, pipeline, sources
        self.outputs, self.catalog = outputs, outputs.catalog
        # what an environment makes it writes below its own root, wherever it reads
        self.files = outputs.files[environment.label]
        self._steps: dict[tuple[str, str], Step] = {}
        self._lock = threading.Lock()

    def step(
        self,
        run_id: str,
        name: str,
        *,
        partitions: Sequence[str],
        launched_by: str,
        only_out_of_date: bool = False,
    ) -> Step:
        """The step's state, made when it is first asked for.

        It makes all of `partitions`, or only those out of date; never again what this run has made before it was
        tried once more, and nothing whose input is quarantined.
        """
        with self._lock:
            if (run_id, name) not in self._steps:
                declaration = next(step for step in self.pipeline.steps if step.name == name)
                self._forget_what_was_read(declaration, partitions)
                snapshot = Snapshot(self.catalog)
                without = snapshot.without_input(declaration)
                left_out = {key: without[key] for key in partitions if key in without}
                kept = self._kept(
                    declaration, partitions, snapshot, run_id, only_out_of_date=only_out_of_date
                )
                self._steps[run_id, name] = Step(
                    declaration=declaration,
                    fingerprint=declaration.fingerprint(self.environment),
                    partitions=[key for key in partitions if key not in kept.keys() | left_out.keys()],
                    snapshot=snapshot,
                    run_id=run_id,
                    launched_by=launched_by,
                    log=str(self.environment.run_logs / f"{run_id}.log"),
                    kept=kept,
                    left_out=left_out,
                )
            return self._steps[run_id, name]

    def _kept(
        self,
        declaration: Declaration,
        partitions: Sequence[str],
        snapshot: Snapshot,
        run_id: str,
        *,
        only_out_of_date: bool,
    ) -> dict[str, list[Output]]:
        """Those of the partitions that need not be made, with their outputs.

        They are as they should be, or were made by this run before it was tried once more. What was once made from the
        same as now is made current again.
        """
        makes = declaration.makes
        current = {key: [snapshot.outputs(asset).get(key) for asset in makes] for key in partitions}
        if not only_out_of_date:
            mine = (run_id, self.environment.label)
            whole = {
                k: [o for o in found if o is not None] for k, found in current.items() if None not in found
            }
            return {
                k: found for k, found in whole.items() if {(o.run_id, o.environment) for o in found} == {mine}
            }
        stale = set(self.pipeline.out_of_date(declaration, list(partitions), snapshot, self.environment))
        fingerprint = declaration.fingerprint(self.environment)
        wanted = {key: made_from(fingerprint, snapshot.input_digests(declaration, key)) for key in stale}
        before = [self.catalog.made_before(asset, wanted) for asset in makes]
        again = [key for key in stale if all(key in b and self.outputs.exists(b[key]) for b in before)]
        for asset, outputs in zip(makes, before, strict=True):
            self.catalog.set_current(asset, {key: outputs[key] for key in again})
        kept = {key: [o for o in current[key] if o is not None] for key in partitions if key not in stale}
        return kept | {key: [outputs[key] for outputs in before] for key in again}

    def known_step(self, run_id: str, name: str) -> Step | None:
        """The step's state, if it was asked for before: it keeps its partitions whatever becomes of the keys."""
        with self._lock:
            return self._steps.get((run_id, name))

    def _forget_what_was_read(self, declaration: Declaration, partitions: Sequence[str]) -> None:
        """What an earlier step read of a source is no input of this one."""
        for name, source in self.sources.items():
            if name in declaration.reads:
                for partition in partitions:
                    source.versions_read.pop(partition, None)

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
        outputs = step.snapshot.readable(asset)
        wanted = {
            key
            for partition in step.partitions
            for key in read.select(asset, partition, step.snapshot.readable)
        }
        if isinstance(read, SameKey) and (missing := sorted(set(step.partitions) - wanted)):
            raise InputError(
                f"{step.declaration.name} {missing[0]}: {asset} has no output for it; materialize {asset} first"
            )
        for key in sorted(wanted):
            if outputs[key].rejected:
                raise InputError(
                    f"{asset} {key} was rejected by {outputs[key].rejected}; materialize it again, then what reads it"
                )
        return self.read_table(asset, {key: outputs[key] for key in sorted(wanted)})

    def read_table(self, asset: str, outputs: Mapping[str, Output]) -> pd.DataFrame | dict[str, ModelFile]:
        """The rows of these outputs in one frame; for a model, the models by partition."""
        if asset not in SCHEMAS:
            return {key: self._read_model(key, output) for key, output in outputs.items()}
        parts = [self._read_rows(asset, key, o) for key, o in outputs.items() if not o.quarantined]
        empty = SCHEMAS[asset].arrow.empty_table()
        return tables.to_frame(pa.concat_tables([empty, *parts]))

    def _read_rows(self, asset: str, partition: str, output: Output) -> pa.Table:
        data = self._read(asset, partition, output)
        again = f"materialize {asset} for {partition} again"
        try:
            table = tables.decode(data)
        except pa.ArrowException as error:
            raise InputError(
                f"{asset} {partition}: {self.outputs.url(output)} is damaged ({error}); {again}"
            ) from error
        if not table.schema.equals(SCHEMAS[asset].arrow):
            raise InputError(
                f"{asset} {partition}: {self.outputs.url(output)} has columns of another release; {again}"
            )
        return table

    def _read(self, asset: str, partition: str, output: Output) -> bytes:
        try:
            return self.outputs.read(output)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{asset} {partition}: the catalog names {self.outputs.url(output)}, which is not there; "
                f"materialize {asset} for {partition} again"
            ) from error

    def _read_model(self, partition: str, output: Output) -> ModelFile:
        card = json.loads(self._read("model card", partition, beside(output, ".json")))
        return ModelFile(self._read("model", partition, output), card["model_version"], card)

    def commit(
        self,
        results: Mapping[str, Result],
        step: Step,
        *,
        partitions: Sequence[str] | None = None,
        since: datetime | None = None,
    ) -> dict[str, dict[str, Output]]:
        """Store the step's outputs, by asset, in these partitions, and make them current together.

        Without `partitions` it is all of them, and without `since` they were made since the step began. A frame is split
        on its schema's partition column; rows of a partition that was not asked for are an error.
        """
        keys = step.partitions if partitions is None else partitions
        outputs = {asset: self._stored(asset, result, step, keys) for asset, result in results.items()}
        self._commit_rows(outputs, step, since or step.started_at)
        return outputs

    def _stored(self, asset: str, result: Result, step: Step, partitions: Sequence[str]) -> dict[str, Output]:
        outputs: dict[str, Output] = {}
        for partition, part in parts_of(asset, result.made, partitions).items():
            folder = folder_of(asset, partition)
            for name, content in part.files.items():
                self.files.write(f"{folder}/{name}", content)
            main, data = next(iter(part.files.items()))
            outputs[partition] = replace(
                self._output(step, partition, part.version),
                path=f"{folder}/{main}",
                rows=part.rows,
                bytes=len(data),
                index=part.index,
                detail=result.details.get(partition, {}),
            )
        return outputs

    def quarantine(self, step: Step, partition: str, reason: str, *, since: datetime) -> dict[str, Output]:
        """Put on record that nothing can be made of a partition as it is now, and withdraw what was made of it."""
        version = f"{QUARANTINED}-{digest({partition: reason})}"
        output = replace(self._output(step, partition, version), detail={QUARANTINED: reason})
        for follower in self.pipeline.followers(step.declaration):
            for asset in follower.makes:
                self.catalog.withdraw(asset, [partition])
        self._commit_rows({asset: {partition: output} for asset in step.declaration.makes}, step, since)
        return dict.fromkeys(step.declaration.makes, output)

    def _output(self, step: Step, partition: str, version: str) -> Output:
        return Output(
            content_version=version,
            inputs=self._inputs_read(step, partition),
            fingerprint=step.fingerprint,
            environment=self.environment.label,
            run_id=step.run_id,
        )

    def _commit_rows(self, outputs: Mapping[str, Mapping[str, Output]], step: Step, since: datetime) -> None:
        if not step.executions:
            self.begin(step)
        seconds = (datetime.now(UTC) - since).total_seconds()
        # an execution has its share of the time that the step took for all of them
        share = round(seconds / max(sum(map(len, outputs.values())), 1), 4)
        finished = {
            asset: {
                partition: (replace(step.executions[asset, partition], seconds=share), output)
                for partition, output in its.items()
            }
            for asset, its in outputs.items()
        }
        self.catalog.commit(finished)
        for asset, its in outputs.items():
            step.committed.update({(asset, partition): output for partition, output in its.items()})

    def _inputs_read(self, step: Step, partition: str) -> dict[str, str]:
        """The input digests of one partition: sources in the version that was really read, if any was."""
        inputs = step.snapshot.input_digests(step.declaration, partition)
        for name, source in self.sources.items():
            # a partition that the step had no need to read stays as the snapshot has it
            if isinstance(step.declaration.reads.get(name), SameKey) and partition in source.versions_read:
                version = source.versions_read[partition]
                inputs[name] = digest({partition: version} if version is not None else {})
        return inputs
