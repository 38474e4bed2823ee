"""Dagster's I/O managers over the table storage: what an asset reads and returns, and which partitions a run makes."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg
import sqlalchemy as sa
from dagster import DataVersion, InputContext, OutputContext

from partitions.reads import digest
from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.errors import SourceUnavailable
from resources.output_parts import Part
from resources.pages import Shown, last_told, page_of, together, withdrawn
from resources.run_coordinator import launched_by
from resources.steps import Step
from resources.table_storage import TableStorage

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARENT_RUN_TAG = "dagster/parent_run_id"
WORK_ORDER_TAG = "photo_popularity/work_order"
# on runs that were launched because something is out of date: they make that, and leave the rest
ONLY_OUT_OF_DATE_TAG = "photo_popularity/only_out_of_date"


MAX_RETRIES, FIRST_PAUSE_SECONDS = 2, 2.0
# the variable by which dagster-k8s tells a pod which step it is for
STEP_OF_POD = "DAGSTER_RUN_STEP_KEY"
# what stays wrong until somebody does something, and says so itself
TOLD = (InputError, FileNotFoundError, PermissionError)


class TableIOManager(dg.IOManager):
    """Loads the partitions that a step reads and commits those that it makes, one version a partition.

    A step commits as it goes (`commit`, `quarantine`), so that an end before its time loses little.
    """

    def __init__(self, storage: TableStorage) -> None:
        self._storage = storage

    def load_input(self, context: InputContext) -> object:
        """One frame with the rows of all partitions read; for a model, the models by partition."""
        with again_in_another_pod(context.step_context):
            try:
                step = step_of(self._storage, context.step_context)
            except Exception as error:
                raise classified(error, context.step_context) from error
            try:
                started = time.monotonic()
                loaded = self._storage.load(context.asset_key.path[-1], step)
                step.seconds_loading += time.monotonic() - started
            except Exception as error:
                raise self.recorded(step, error, context.step_context) from error
            except BaseException:
                self._storage.forget(step)
                raise
        return loaded

    def handle_output(self, context: OutputContext, obj: Mapping[str, Shown]) -> None:
        """Show what was committed. A run of one partition gets its data version and metadata here."""
        if len(obj) == 1:
            shown = next(iter(obj.values()))
            context.step_context.set_data_version(context.asset_key, DataVersion(shown.content_version))
            context.add_output_metadata(dict(shown.metadata))

    def begin(self, step: Step, partitions: Sequence[str]) -> None:
        """Put on record that these partitions are being made."""
        self._storage.begin(step, partitions)

    def reuse(self, step: Step, partitions: Sequence[str]) -> list[str]:
        """Make current what was made from the same before; returns the partitions that are left to be made."""
        return self._storage.reuse(step, partitions) if partitions else []

    def interrupted(self, step: Step) -> None:
        """Put on record that what the step had begun and not committed was interrupted."""
        self._storage.fail(step, "interrupted")

    def about_to_tell(self, step: Step) -> None:
        """Put on record that Dagster is to be told of all keys that the run names."""
        self._storage.about_to_tell(step)

    def told(self, step: Step) -> None:
        """Put on record that Dagster was told of them."""
        self._storage.told(step)

    def told_of(self, step: Step, asset: str, partitions: Iterable[str]) -> None:
        """Put on record that Dagster was told of these alone."""
        self._storage.told_of(step, asset, partitions)

    def others_are_right(self, step: Step) -> bool:
        """Whether the run's keys hold files that are as they should be, beside those that it works on."""
        return self._storage.others_are_right(step)

    def store(self, step: Step, partition: str, parts: Mapping[str, Part]) -> dict[str, Part]:
        """Write what was made of a file, by asset, before it is committed with others."""
        return self._storage.store(step, partition, parts)

    def commit(
        self, step: Step, parts: Mapping[str, Mapping[str, Part]], *, seconds: Mapping[str, float]
    ) -> dict[str, dict[str, Shown]]:
        """Make what was made of some partitions current; returns what the assets' pages show of them."""
        outputs = self._storage.commit(parts, step, seconds=seconds)
        built_on = "" if step.declaration.is_by_file else step.snapshot.built_on(step.declaration)
        more = {"built_on": dg.MetadataValue.text(built_on)} if built_on else {}
        return {
            asset: {
                partition: page_of(output, self._url, made=parts[asset][partition].made, more=more)
                for partition, output in its.items()
            }
            for asset, its in outputs.items()
        }

    def quarantine(
        self, step: Step, partition: str, reason: str, *, seconds: float, of_the_name: bool
    ) -> dict[str, Shown]:
        """Put on record that nothing can be made of a partition as it is now; returns what its page shows, by asset."""
        outputs = self._storage.quarantine(step, partition, reason, seconds=seconds, of_the_name=of_the_name)
        return {asset: page_of(output, self._url) for asset, output in outputs.items()}

    def pages(
        self, step: Step, asset: str, new: Mapping[str, Shown], instance: dg.DagsterInstance
    ) -> dict[str, Shown]:
        """What the asset's page shows of each of Dagster's partitions that the run names, `new` or as it was before."""
        if step.declaration.shares_partitions:
            return self._pages_of_several(step, asset, new, step.keys)
        left_out = {partition: withdrawn(reason) for partition, reason in step.left_out.items()}
        return {**new, **self._kept(step, asset, instance), **left_out}

    def pages_of_new(self, step: Step, asset: str, new: Mapping[str, Shown]) -> dict[str, Shown]:
        """The same of those alone that hold something new."""
        if step.declaration.shares_partitions:
            return self._pages_of_several(step, asset, new, {step.declaration.grain(file) for file in new})
        return dict(new)

    def _kept(self, step: Step, asset: str, instance: dg.DagsterInstance) -> dict[str, Shown]:
        place, shown = step.declaration.makes.index(asset), {}
        told = last_told(instance, asset, list(step.kept))
        for partition, found in step.kept.items():
            output, before = found[place], told.get(partition)
            is_told = before is not None and before.content_version == output.content_version
            shown[partition] = before if before and is_told else page_of(output, self._url)
        return shown

    def _pages_of_several(
        self, step: Step, asset: str, new: Mapping[str, Shown], keys: Collection[str]
    ) -> dict[str, Shown]:
        """What the asset's page shows of partitions that hold several files each."""
        if not keys:
            return {}
        grain, of_key = step.declaration.grain, dict[str, list[Shown]]()
        for file, its in new.items():
            of_key.setdefault(grain(file), []).append(its)
        inside = together(step.declaration, self._storage.catalog.each(asset), keys)
        return {key: several.page(of_key.get(key, ())) for key, several in inside.items()}

    def mixed_code(self, step: Step, asset: str) -> dict[str, dg.MetadataValue]:
        """Says so when parts of the asset were made by other code or parameters than the step has now."""
        others, every = self._storage.catalog.made_by_others(asset, step.fingerprint)
        told = f"{others:,} of {every:,} partitions were made by other code or parameters than now"
        return {"mixed_code": dg.MetadataValue.text(told)} if others else {}

    def _url(self, output: Output) -> str:
        return self._storage.outputs.url(output)

    def recorded(self, step: Step, error: Exception, context: dg.StepExecutionContext) -> Exception:
        """Put the failure on record, as far as the catalog can be reached; returns the error as Dagster is to see it."""
        try:
            if not step.executions:
                self._storage.begin(step, step.partitions)
            self._storage.fail(step, str(error))
        except sa.exc.SQLAlchemyError as unrecorded:
            context.log.warning(f"the failure could not be put on record ({unrecorded})")
        self._storage.forget(step)
        return classified(error, context)


def step_of(storage: TableStorage, context: dg.StepExecutionContext) -> Step:
    """The state of the step that this Dagster step context belongs to."""
    known = storage.known_step(context.run_id, context.op_def.name)
    if known is not None:
        return known
    definition = context.run_partitions_def
    if definition is None:
        raise unusable_run("this run names no partition; launch it with a partition key or a range")
    tags = context.dagster_run.tags
    keys = partitions_of_run(tags, definition, context.instance)
    if not keys:
        raise unusable_run("this run names no partition; launch it with a partition key or a range")
    if WORK_ORDER_TAG in tags and tags[WORK_ORDER_TAG] != work_order(keys):
        raise unusable_run(
            "the files of this run were moved to another run since it was launched; launch it again"
        )
    return storage.step(
        context.run_id,
        context.op_def.name,
        keys=keys,
        launched_by=launched_by(tags) or storage.environment.user,
        # a person who has a run executed again wants it made again
        only_out_of_date=ONLY_OUT_OF_DATE_TAG in tags and PARENT_RUN_TAG not in tags,
        waiting=lambda: context.log.info("another run works on this step: waiting until it has ended"),
    )


def unusable_run(why: str) -> dg.Failure:
    """A run that was launched wrongly: the same run would fail again."""
    return dg.Failure(description=why, allow_retries=False)


def partitions_of_run(
    tags: Mapping[str, str], definition: dg.PartitionsDefinition, instance: dg.DagsterInstance
) -> Sequence[str]:
    """The partition keys that a run makes, from its tags: one key, or a range in the definition's order."""
    if PARTITION_TAG in tags:
        return [tags[PARTITION_TAG]]
    if RANGE_START_TAG not in tags:
        return []
    start, end = tags[RANGE_START_TAG], tags[RANGE_END_TAG]
    if isinstance(definition, dg.DynamicPartitionsDefinition):
        keys = instance.get_dynamic_partitions(str(definition.name))
        try:
            return keys[keys.index(start) : keys.index(end) + 1]
        except ValueError:
            raise unusable_run(
                "the files of this run are gone, or were moved, since it was launched; launch it again"
            ) from None
    return definition.get_partition_keys_in_range(dg.PartitionKeyRange(start, end))


def work_order(keys: Sequence[str]) -> str:
    """Digest of the keys that a run is to make, whatever their order."""
    return digest(dict.fromkeys(keys, ""))


def may_pass(error: BaseException) -> bool:
    """Whether trying again later may help: a server that is away, a disk that is busy, a store that says "slow down"."""
    if isinstance(error, TOLD):
        return False
    of_a_server = isinstance(error, sa.exc.OperationalError) or type(error).__module__.startswith("botocore")
    return of_a_server or isinstance(error, SourceUnavailable | OSError)


def classified(error: Exception, context: dg.StepExecutionContext) -> Exception:
    """The error as Dagster is to see it: a request to try again when it may pass, else a failure for good.

    A retry policy of the step would do so too, but it also starts a step again that somebody has interrupted.
    """
    if may_pass(error):
        return retry(context)
    if isinstance(error, dg.Failure):
        return error
    return dg.Failure(description=cause_of(error), allow_retries=False)


def retry(context: dg.StepExecutionContext) -> dg.RetryRequested:
    """A request to try the step again, after a longer pause each time."""
    return dg.RetryRequested(MAX_RETRIES, FIRST_PAUSE_SECONDS * 2**context.previous_attempt_count)


@contextmanager
def again_in_another_pod(context: dg.StepExecutionContext) -> Iterator[None]:
    """Ask for another attempt of a step whose pod is told to end, as when its node is drained: its run goes on.

    Other processes are told to end with their runs. Where the run ends too, nobody does what is asked for.
    """
    try:
        yield
    except dg.DagsterExecutionInterruptedError as error:
        if STEP_OF_POD in os.environ:
            raise retry(context) from error
        raise


def cause_of(error: Exception) -> str:
    """The error in words; one that was not written for people comes with its type."""
    return str(error) if isinstance(error, TOLD) else f"{type(error).__name__}: {error}"
