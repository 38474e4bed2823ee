"""Loading and committing the tables and models of a step, behind Dagster's I/O managers.

One step works on a snapshot of the catalog: what it loads, and the input versions recorded with what it makes, agree.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd
import pyarrow as pa

from partitions.files import file_of
from partitions.reads import FilesWithDay, SameKey, digest
from photo_popularity.domain import tables
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.schemas import SCHEMAS
from resources.catalog_records import QUARANTINED, Execution, Finished, Output, Remembered, Untold, made_from
from resources.day_bundles import DayBundles, are_worthwhile
from resources.environment import Environment
from resources.errors import SourceUnavailable
from resources.garbage import no_search_for_garbage
from resources.locks import Release, take
from resources.output_parts import (
    ModelFile,
    Part,
    Stored,
    files_of_model,
    folder_of,
    renamed,
    rows_of_files,
)
from resources.outputs import OutputReader, beside
from resources.pipeline import Declaration, Pipeline, Snapshot
from resources.steps import Source, Step
from resources.together import call_together


def lock_of(step: str) -> str:
    """The name of the lock that is held while a run works on the step."""
    return f"step-{step}"


def life_of(run_id: str) -> str:
    """The name of the lock that each process which works on a run holds as long as it lives."""
    return f"run-{run_id}"


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
        self._releases: dict[tuple[str, str], Release] = {}
        self._alive: tuple[str, Release, Callable[[], object]] | None = None

    def show_life(self, run_id: str) -> None:
        """Hold a lock for the run as long as this process lives or until its next run: who finds it free knows of its end."""
        settings = self.environment.settings
        if settings.credentials and not settings.catalog and self.environment.name != "local":
            raise InputError(
                "no catalog is set for this process: where tasks have credentials of their own, PHOTO_POPULARITY_CATALOG "
                "is one of them"
            )
        if self._alive is None or self._alive[0] != run_id or not self._alive[1].lasts():
            if self._alive is not None:
                self._alive[2]()
            release = self.catalog.locks.share(life_of(run_id))
            # at the end of the process too, or its file would stay behind
            self._alive = (run_id, release, weakref.finalize(self, release))

    def step(
        self,
        run_id: str,
        name: str,
        *,
        keys: Sequence[str],
        launched_by: str,
        only_out_of_date: bool = False,
        waiting: Callable[[], object] = lambda: None,
    ) -> Step:
        """The step's state, made when it is first asked for.

        It makes all that Dagster's partitions `keys` hold, or only what is out of date; never again what this run has
        made before it was tried once more, and nothing whose input is quarantined. While another run works on the same
        step it waits, and calls `waiting` once.
        """
        if (known := self.known_step(run_id, name)) is not None:
            return known
        self.show_life(run_id)
        release = take(self.catalog.locks, lock_of(name), waiting=waiting)
        try:
            with no_search_for_garbage():
                step = self._new_step(
                    run_id, name, keys=keys, launched_by=launched_by, only_what_can_be=only_out_of_date
                )
                if only_out_of_date:
                    self._keep_what_is_right(step)
                else:
                    self._keep_what_this_run_made(step)
        except BaseException:
            release()
            raise
        self._steps[run_id, name], self._releases[run_id, name] = step, release
        return step

    def _hold_on(self, step: Step) -> None:
        """Take again what was lost with its connection; SourceUnavailable when another run works on the step by now.

        Whoever tries again then waits, and sees what is left to do.
        """
        self.show_life(step.run_id)
        its = (step.run_id, step.declaration.name)
        if (held := self._releases.get(its)) is None or held.lasts():
            return
        again = self.catalog.locks.try_take(lock_of(step.declaration.name))
        if again is None:
            raise SourceUnavailable(
                f"{step.declaration.name}: the connection that kept other runs away was lost, and another run has begun"
            )
        held()
        self._releases[its] = again

    def _new_step(
        self, run_id: str, name: str, *, keys: Sequence[str], launched_by: str, only_what_can_be: bool
    ) -> Step:
        declaration = next(step for step in self.pipeline.steps if step.name == name)
        partitions = self._files_of(declaration, keys, only_what_may_be_out_of_date=only_what_can_be)
        snapshot = Snapshot(self.catalog, within=partitions if declaration.is_by_file else None)
        self._forget_what_was_read(declaration, partitions)
        without = snapshot.without_input(declaration)
        if only_what_can_be and declaration.files is not None:
            # a run that names a key of several files, or a step whose own input was left out, names no file itself
            lacking = snapshot.lacking(declaration, partitions)
            without = {**dict.fromkeys(lacking, "nothing to make it from yet"), **without}
        return Step(
            declaration=declaration,
            fingerprint=declaration.fingerprint(self.environment),
            keys=list(keys),
            partitions=[key for key in partitions if key not in without],
            inputs=snapshot.inputs(declaration, partitions),
            snapshot=snapshot,
            run_id=run_id,
            launched_by=launched_by,
            log=str(self.environment.run_logs / f"{run_id}.log"),
            left_out={key: without[key] for key in partitions if key in without},
        )

    def _files_of(
        self, declaration: Declaration, keys: Sequence[str], *, only_what_may_be_out_of_date: bool = False
    ) -> list[str]:
        """The days or files in Dagster's partitions; of partitions that hold several, all or what may be out of date."""
        if declaration.files is None or not declaration.shares_partitions:
            return list(keys)
        source, found = declaration.files.name, None
        if only_what_may_be_out_of_date and declaration.is_by_file:
            found = self.catalog.may_be_out_of_date(source, declaration.expected(self.environment))
        return declaration.within(keys, self.catalog.partitions(source) if found is None else found)

    def _keep_what_this_run_made(self, step: Step) -> None:
        mine = (step.run_id, self.environment.label)
        current = [step.snapshot.outputs(asset) for asset in step.declaration.makes]
        for key in step.partitions:
            found = [outputs[key] for outputs in current if key in outputs]
            if len(found) == len(current) and {(o.run_id, o.environment) for o in found} == {mine}:
                step.kept[key] = found
        step.partitions = [key for key in step.partitions if key not in step.kept]

    def _keep_what_is_right(self, step: Step) -> None:
        """Keep what is as it should be, and make of what is made from the same only one."""
        declaration, wanted = step.declaration, step.partitions
        stale = set(self.pipeline.out_of_date(declaration, wanted, step.snapshot, self.environment))
        current = [step.snapshot.outputs(asset) for asset in declaration.makes]
        step.kept = {key: [outputs[key] for outputs in current] for key in wanted if key not in stale}
        # what a check has refused is made again, also where production still remembers it
        refused = {key for key in stale for outputs in current if key in outputs and outputs[key].rejected}
        left = self.reuse(step, [key for key in wanted if key in stale and key not in refused])
        left += [key for key in wanted if key in refused]
        first: dict[str, str] = {}
        for key in left:
            first.setdefault(self._made_from(step, key, of_the_name=declaration.files is None), key)
        step.partitions = list(first.values())
        taken = set(step.partitions)
        step.twins = [key for key in left if key not in taken]

    def reuse(self, step: Step, keys: Sequence[str]) -> list[str]:
        """Make current again what was made from the same before, under this name or another; returns what is left."""
        makes, files = step.declaration.makes, step.declaration.files
        origins = {key: [self._made_from(step, key, of_the_name=True)] for key in keys}
        if files is not None:
            for key in keys:
                origins[key].append(self._made_from(step, key, of_the_name=False))
        wanted = {origin for its in origins.values() for origin in its}
        before = [self.catalog.made_before(asset, wanted) for asset in makes]
        chosen: dict[str, list[Remembered]] = {}
        for key, its in origins.items():
            origin = next((o for o in its if all(o in known for known in before)), None)
            if origin is not None and all(self._is_there(known[origin].output) for known in before):
                chosen[key] = [known[origin] for known in before]
        outputs = [
            self._under_these_names(asset, {key: found[place] for key, found in chosen.items()}, step)
            for place, asset in enumerate(makes)
        ]
        # first: what follows from an output that is quarantined already is never looked at again
        self._withdraw_followers(step, [key for key in chosen if outputs[0][key].quarantined])
        self.catalog.restore(dict(zip(makes, outputs, strict=True)), step.run_id)
        step.kept.update({key: [its[key] for its in outputs] for key in chosen})
        return [key for key in keys if key not in chosen]

    def _is_there(self, output: Output) -> bool:
        return bool(output.quarantined) or self.outputs.exists(output)

    def _withdraw_followers(self, step: Step, partitions: Sequence[str]) -> None:
        """Withdraw what was made of partitions that are quarantined now."""
        if partitions:
            for follower in self.pipeline.followers(step.declaration):
                for asset in follower.makes:
                    # no run of the follower comes that could say so
                    there = [key for key in partitions if key in step.snapshot.outputs(asset)]
                    self.catalog.withdraw(asset, there, untold=there)

    def _under_these_names(
        self, asset: str, remembered: Mapping[str, Remembered], step: Step
    ) -> dict[str, Output]:
        """The outputs as those of these partitions: what was made for a file of another name is stored with this one."""
        found = {key: one.output for key, one in remembered.items()}
        others = {
            key: one for key, one in remembered.items() if one.partition != key and not one.output.quarantined
        }
        rows: dict[tuple[str, str], pa.Table] = {}
        stored: dict[str, dict[str, Output]] = {}
        for one in others.values():
            stored.setdefault(one.output.path, {})[one.partition] = one.output
        # a stored file that has the rows of several is read once
        for path, its in stored.items():
            rows |= {(path, partition): table for partition, table in self.rows(asset, its).items()}
        parts = {
            key: Part(
                one.output.content_version,
                renamed(asset, rows[one.output.path, one.partition], key),
                one.output.rows,
            )
            for key, one in others.items()
        }
        for key, (path, size) in self._stored(asset, parts, step.declaration).items():
            label = self.environment.label
            found[key] = found[key]._replace(path=path, bytes=size, environment=label)
        return found

    def _made_from(self, step: Step, key: str, *, of_the_name: bool) -> str:
        return made_from(step.fingerprint, step.inputs[key], name=key if of_the_name else "")

    def known_step(self, run_id: str, name: str) -> Step | None:
        """The step's state, if it was asked for before: it keeps its partitions whatever becomes of the keys."""
        return self._steps.get((run_id, name))

    def _forget_what_was_read(self, declaration: Declaration, partitions: Sequence[str]) -> None:
        """What an earlier step read of a source is no input of this one."""
        for name, source in self.sources.items():
            if name in declaration.reads:
                for partition in partitions:
                    source.versions_read.pop(partition, None)

    def forget(self, step: Step) -> None:
        """Drop the state of a step that has ended, and let others work on it."""
        name = (step.run_id, step.declaration.name)
        if self._steps.pop(name, None) is not None:
            self._releases.pop(name)()

    def about_to_tell(self, step: Step) -> None:
        """Put on record that Dagster is to be told of all keys that the run names, also of what was not made.

        For a range it writes an event for each key itself, with a version that is not the key's own.
        """
        if len(step.keys) == 1:
            return
        # what was made is on record since it was committed
        others = [*step.kept, *step.left_out]
        if step.declaration.shares_partitions:
            # one file of each key is enough to have the key told
            files = self._files_of(step.declaration, step.keys)
            others = list({step.declaration.grain(file): file for file in files}.values())
        for asset in step.declaration.makes:
            self.catalog.note_untold(asset, others, step.run_id)

    def told(self, step: Step) -> None:
        """Put on record that Dagster was told of all keys that the run names."""
        for asset in step.declaration.makes:
            self.catalog.told(asset, step.run_id)

    def told_of(self, step: Step, asset: str, partitions: Iterable[str]) -> None:
        """Put on record that Dagster was told of these alone."""
        self.catalog.told_of([Untold(asset, partition, step.run_id) for partition in partitions])

    def others_are_right(self, step: Step) -> bool:
        """Whether the run's keys hold files that are as they should be, beside those that it works on."""
        if not step.declaration.shares_partitions:
            return bool(step.kept)
        worked_on = {*step.partitions, *step.twins, *step.left_out}
        return bool(set(self._files_of(step.declaration, step.keys)) - worked_on)

    def begin(self, step: Step, partitions: Sequence[str]) -> None:
        """Record the start of an execution for each output of these partitions."""
        parameters = dict(step.declaration.parameters(self.environment))
        begun = {
            (asset, partition): Execution(
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
            for asset in step.declaration.makes
            for partition in partitions
        }
        step.executions.update(begun)
        self.catalog.begin(list(begun.values()))

    def fail(self, step: Step, error: str) -> None:
        """Record that what the step had begun and not committed has failed."""
        left = [execution for key, execution in step.executions.items() if key not in step.committed]
        self.catalog.fail(left, error)

    def load(self, asset: str, step: Step) -> pd.DataFrame | dict[str, ModelFile] | dict[str, pa.Table]:
        """What the step reads of `asset`: one frame for all of its days together, or a table for each file.

        Of a model it is the models by partition.
        """
        read, made = step.declaration.reads[asset], [*step.partitions, *step.twins]
        outputs = step.snapshot.readable(asset)
        wanted = read.union(asset, made, step.snapshot.readable)
        if isinstance(read, SameKey) and (missing := sorted(set(made) - wanted)):
            raise InputError(
                f"{step.declaration.name} {missing[0]}: {asset} has no output for it; materialize {asset} first"
            )
        for key in sorted(wanted):
            if outputs[key].rejected:
                raise InputError(
                    f"{asset} {key} was rejected by {outputs[key].rejected}; materialize it again, then what reads it"
                )
        chosen = {key: outputs[key] for key in sorted(wanted)}
        if isinstance(read, FilesWithDay):
            days = read.select(asset, made, step.snapshot.readable)
            if are_worthwhile(days):
                bundles = DayBundles(asset, SCHEMAS[asset], self.files)
                return tables.to_frame(bundles.rows(days, chosen, partial(self.rows, asset)))
        if asset not in SCHEMAS:
            return self.read_models(chosen)
        if step.declaration.files is None:
            return self.read_table(asset, chosen)
        # each as if it were alone, so that nothing depends on which files are made together; without its name, for which
        # a function has to ask
        name = SCHEMAS[asset].partition_column
        return {key: table.drop_columns([name]) for key, table in self.rows(asset, chosen).items()}

    def read_table(
        self, asset: str, outputs: Mapping[str, Output], columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The rows of these outputs in one frame, all columns or some."""
        read = self.read_tables(asset, outputs, columns)
        return tables.one_frame(SCHEMAS[asset], list(read.values()), columns)

    def read_tables(
        self, asset: str, outputs: Mapping[str, Output], columns: Sequence[str] | None = None
    ) -> dict[str, pa.Table]:
        """The same for each output: no rows for one that is quarantined or lost."""
        made = {key: o for key, o in outputs.items() if not o.quarantined and not o.is_lost}
        schema = SCHEMAS[asset]
        wanted = list(schema.columns if columns is None else columns)
        # a stored file that has the rows of several is divided by it
        rows = self.rows(asset, made, list(dict.fromkeys([*wanted, schema.partition_column])))
        nothing = schema.arrow.empty_table()
        return {key: rows.get(key, nothing).select(wanted) for key in outputs}

    def read_models(self, outputs: Mapping[str, Output]) -> dict[str, ModelFile]:
        """The models by partition."""
        return {key: self._read_model(key, output) for key, output in outputs.items()}

    def rows(
        self, asset: str, outputs: Mapping[str, Output], columns: Sequence[str] | None = None
    ) -> dict[str, pa.Table]:
        """The rows of each of these outputs, all columns or some; a stored file that holds several is read once."""
        sharing: dict[tuple[str, str], list[str]] = {}
        for key, output in outputs.items():
            sharing.setdefault((output.environment, output.path), []).append(key)

        def read(keys: list[str]) -> dict[str, pa.Table]:
            table = self._read_rows(asset, keys[0], outputs[keys[0]], columns)
            alone = len(keys) == 1 and len(table) == outputs[keys[0]].rows
            return {keys[0]: table} if alone else rows_of_files(SCHEMAS[asset], table, keys)

        found: dict[str, pa.Table] = {}
        for its in call_together(read, list(sharing.values())):
            found |= its
        return {key: found[key] for key in outputs}

    def _read_rows(
        self, asset: str, partition: str, output: Output, columns: Sequence[str] | None
    ) -> pa.Table:
        data = self._read(asset, partition, output)
        again = f"materialize {asset} for {partition} again"
        expected = SCHEMAS[asset].arrow
        if columns is not None:
            expected = pa.schema([expected.field(column) for column in columns])
        try:
            table = tables.decode(data, columns)
        except (pa.ArrowException, OSError) as error:
            # of bytes that are in memory, so that it is no failure of a disk
            raise InputError(
                f"{asset} {partition}: {self.outputs.url(output)} is damaged ({error}); {again}"
            ) from error
        if not table.schema.equals(expected):
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
        self, parts: Mapping[str, Mapping[str, Part]], step: Step, *, seconds: Mapping[str, float]
    ) -> dict[str, dict[str, Output]]:
        """Store what was made, by asset and partition, and make it current together; `seconds` each partition took."""
        outputs: dict[str, dict[str, Output]] = {}
        for asset, its in parts.items():
            stored = self._stored(asset, its, step.declaration)
            outputs[asset] = {
                partition: self._output(step, partition, part.version)._replace(
                    path=stored[partition].path,
                    bytes=stored[partition].bytes,
                    rows=part.rows,
                    index=part.index,
                    detail=part.detail,
                )
                for partition, part in its.items()
            }
        by_name = {partition for its in parts.values() for partition, part in its.items() if part.of_the_name}
        self._commit_rows(outputs, step, seconds=seconds, by_name=by_name)
        return outputs

    def store(self, step: Step, partition: str, parts: Mapping[str, Part]) -> dict[str, Part]:
        """Write what was made of a file, by asset, before it is committed with others; only its first rows stay in memory.

        Files that share a stored file are left until all of them are there.
        """
        if step.declaration.grain(partition) != partition:
            return dict(parts)
        return {
            asset: replace(
                part,
                made=part.first_rows(),
                stored=self._stored_file(asset, partition, {partition: part})[partition],
            )
            for asset, part in parts.items()
        }

    def _stored(self, asset: str, parts: Mapping[str, Part], declaration: Declaration) -> dict[str, Stored]:
        """Where the parts lie, written now if they are not yet: files of one partition in Dagster share a file."""
        stored = {partition: part.stored for partition, part in parts.items() if part.stored is not None}
        together: dict[str, dict[str, Part]] = {}
        for partition, part in parts.items():
            if partition not in stored:
                together.setdefault(declaration.grain(partition), {})[partition] = part
        for files in call_together(lambda item: self._stored_file(asset, *item), list(together.items())):
            stored |= files
        return stored

    def _stored_file(self, asset: str, key: str, parts: Mapping[str, Part]) -> dict[str, Stored]:
        if parts.keys() == {key}:
            name = parts[key].version
        else:
            name = digest({file_of(file): part.version for file, part in parts.items()})
        path = f"{folder_of(asset, key)}/{name}"
        made = [part.made for part in parts.values()]
        if isinstance(made[0], ModelFile):
            data, card = files_of_model(made[0])
            self.files.write(f"{path}.skops", data)
            self.files.write(f"{path}.json", card)
            return {key: Stored(f"{path}.skops", len(data))}
        data = tables.encode(made[0] if len(made) == 1 else pa.concat_tables(made))
        self.files.write(f"{path}.parquet", data)
        # each has its share of the size, so that the sizes add up
        shares = [len(data) // len(parts) + (place < len(data) % len(parts)) for place in range(len(parts))]
        return {
            partition: Stored(f"{path}.parquet", share)
            for partition, share in zip(parts, shares, strict=True)
        }

    def quarantine(
        self, step: Step, partition: str, reason: str, *, seconds: float, of_the_name: bool
    ) -> dict[str, Output]:
        """Put on record that nothing can be made of a partition as it is now, and withdraw what was made of it."""
        version = f"{QUARANTINED}-{digest({'': reason})}"
        output = self._output(step, partition, version)._replace(detail={QUARANTINED: reason})
        self._withdraw_followers(step, [partition])
        made = {asset: {partition: output} for asset in step.declaration.makes}
        by_name = {partition} if of_the_name else set()
        self._commit_rows(made, step, seconds={partition: seconds}, by_name=by_name)
        return dict.fromkeys(step.declaration.makes, output)

    def _output(self, step: Step, partition: str, version: str) -> Output:
        return Output(
            content_version=version,
            inputs=self._inputs_read(step, partition),
            fingerprint=step.fingerprint,
            environment=self.environment.label,
            run_id=step.run_id,
        )

    def _commit_rows(
        self,
        outputs: Mapping[str, Mapping[str, Output]],
        step: Step,
        *,
        seconds: Mapping[str, float],
        by_name: set[str],
    ) -> None:
        finished: dict[str, dict[str, Finished]] = {asset: {} for asset in outputs}
        for asset, its in outputs.items():
            for partition, output in its.items():
                share = round(seconds[partition] / len(outputs), 4)
                execution = replace(step.executions[asset, partition], seconds=share)
                name = partition if partition in by_name else ""
                origin = made_from(step.fingerprint, output.inputs, name=name)
                finished[asset][partition] = Finished(execution, output, origin)
        self._hold_on(step)
        self.catalog.commit(finished)
        self._doubt_what_was_seen(step, next(iter(outputs.values()), {}))
        for asset, its in outputs.items():
            step.committed.update({(asset, partition): output for partition, output in its.items()})

    def _doubt_what_was_seen(self, step: Step, made: Mapping[str, Output]) -> None:
        """Have files looked at again that held something else than the last look has put on record.

        One that was changed with its size and time kept, or seen by a release that hashed otherwise, would be made each night.
        """
        files = step.declaration.files
        if files is None or not isinstance(step.declaration.reads.get(files.name), SameKey):
            return
        doubtful = [
            key for key, one in made.items() if one.inputs[files.name] != step.inputs[key][files.name]
        ]
        if doubtful:
            self.catalog.look_again(files.name, doubtful)

    def _inputs_read(self, step: Step, partition: str) -> dict[str, str]:
        """The input digests of one partition: sources in the version that was really read, if any was."""
        inputs = dict(step.inputs[partition])
        for name, source in self.sources.items():
            # a partition that the step had no need to read stays as the snapshot has it
            if isinstance(step.declaration.reads.get(name), SameKey) and partition in source.versions_read:
                inputs[name] = source.versions_read[partition] or ""
        return inputs
