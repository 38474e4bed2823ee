"""Dagster's I/O managers over the table storage: what an asset reads and returns, and the metadata of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from dagster import DataVersion, InputContext, OutputContext

from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.output_parts import Made, Result
from resources.pipeline import digest
from resources.previews import preview
from resources.sources import SourceUnavailable
from resources.steps import Step
from resources.table_storage import TableStorage

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
LAUNCHED_BY_TAG = "photo_popularity/launched_by"
WORK_ORDER_TAG = "photo_popularity/work_order"


MAX_RETRIES, FIRST_PAUSE_SECONDS = 2, 2.0


class TableIOManager(dg.IOManager):
    """Loads the partitions that a step reads and commits those that it makes, one version a partition."""

    def __init__(self, storage: TableStorage) -> None:
        self._storage = storage

    def load_input(self, context: InputContext) -> object:
        """One frame with the rows of all partitions read; for a model, the models by partition."""
        step = step_of(self._storage, context.step_context)
        try:
            return self._storage.load(context.asset_key.path[-1], step)
        except Exception as error:
            raise self._recorded(step, error, context.step_context) from error

    def handle_output(self, context: OutputContext, obj: Result) -> None:
        """Commit what was made. A run of one partition gets its data version and metadata here."""
        step = step_of(self._storage, context.step_context)
        asset = context.asset_key.path[-1]
        try:
            outputs = self._storage.commit(asset, obj, step)
        except Exception as error:
            raise self._recorded(step, error, context.step_context) from error
        if len(outputs) == 1:
            output = next(iter(outputs.values()))
            context.step_context.set_data_version(context.asset_key, DataVersion(output.content_version))
            context.add_output_metadata(self.metadata(output, obj.made))

    def _recorded(self, step: Step, error: Exception, context: dg.StepExecutionContext) -> Exception:
        if not step.executions:
            self._storage.begin(step)
        self._storage.fail(step, str(error))
        self._storage.forget(step)
        return classified(error, context)

    def metadata(self, output: Output, made: Made) -> dict[str, dg.MetadataValue]:
        """What the asset's page shows of one output."""
        shown: dict[str, dg.MetadataValue] = {
            "dagster/row_count": dg.MetadataValue.int(output.rows),
            "bytes": dg.MetadataValue.int(output.bytes),
            "content_version": dg.MetadataValue.text(output.content_version),
            "path": dg.MetadataValue.path(self._storage.outputs.url(output)),
        }
        if isinstance(made, pd.DataFrame):
            shown["preview"] = dg.MetadataValue.md(preview(made))
        else:
            shown["card"] = dg.MetadataValue.json(dict(made.card))
        shown.update(
            {
                name: dg.MetadataValue.json(value) if isinstance(value, list | dict) else _scalar(value)
                for name, value in output.detail.items()
            }
        )
        return shown


def _scalar(value: object) -> dg.MetadataValue:
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    return dg.MetadataValue.float(value) if isinstance(value, float) else dg.MetadataValue.text(str(value))


def step_of(storage: TableStorage, context: dg.StepExecutionContext) -> Step:
    """The state of the step that this Dagster step context belongs to."""
    known = storage.known_step(context.run_id, context.op_def.name)
    if known is not None:
        return known
    definition = context.run_partitions_def
    if definition is None:
        raise unusable_run("this run names no partition; launch it with a partition key or a range")
    tags = context.dagster_run.tags
    partitions = partitions_of_run(tags, definition, context.instance)
    if not partitions:
        raise unusable_run("this run names no partition; launch it with a partition key or a range")
    if WORK_ORDER_TAG in tags and tags[WORK_ORDER_TAG] != work_order(partitions):
        raise unusable_run(
            "the files of this run were moved to another run since it was launched; launch it again"
        )
    return storage.step(
        context.run_id, context.op_def.name, partitions=partitions, launched_by=launched_by(tags, storage)
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
        return keys[keys.index(start) : keys.index(end) + 1]
    return definition.get_partition_keys_in_range(dg.PartitionKeyRange(start, end))


def work_order(keys: Sequence[str]) -> str:
    """Digest of the keys that a run is to make, whatever their order."""
    return digest(dict.fromkeys(keys, ""))


def launched_by(tags: Mapping[str, str], storage: TableStorage) -> str:
    """Who launched a run, from its tags: a person, a schedule, a sensor or a backfill."""
    for tag, what in (
        (LAUNCHED_BY_TAG, ""),
        ("dagster/schedule_name", "schedule "),
        ("dagster/sensor_name", "sensor "),
        ("dagster/backfill", "backfill "),
        ("user", ""),
    ):
        if tag in tags:
            return what + tags[tag]
    return storage.environment.user


def classified(error: Exception, context: dg.StepExecutionContext) -> Exception:
    """The error as Dagster is to see it: a request to try again when it may pass, else a failure for good.

    A retry policy of the step would do so too, but it also starts a step again that somebody has interrupted.
    """
    for_good = isinstance(error, InputError | FileNotFoundError | PermissionError)
    # a server that is away, a disk that is busy, an object store that says "slow down"
    of_a_server = isinstance(error, sa.exc.OperationalError) or type(error).__module__.startswith("botocore")
    if not for_good and (of_a_server or isinstance(error, SourceUnavailable | OSError)):
        return dg.RetryRequested(MAX_RETRIES, FIRST_PAUSE_SECONDS * 2**context.previous_attempt_count)
    if isinstance(error, dg.Failure):
        return error
    said = str(error) if for_good else f"{type(error).__name__}: {error}"
    return dg.Failure(description=said, allow_retries=False)
