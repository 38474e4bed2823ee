"""Dagster's I/O managers over the table storage: what an asset reads and returns, and the metadata of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from dagster import DataVersion, InputContext, OutputContext

from photo_popularity.domain.errors import InputError
from resources.catalog_records import QUARANTINED, Output
from resources.output_parts import Made, Result, by_partition
from resources.pipeline import digest
from resources.previews import preview
from resources.sources import SourceUnavailable
from resources.steps import Step
from resources.table_storage import TableStorage

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
LAUNCHED_BY_TAG = "photo_popularity/launched_by"
PARENT_RUN_TAG = "dagster/parent_run_id"
WORK_ORDER_TAG = "photo_popularity/work_order"
# on runs that were launched because something is out of date: they make that, and leave the rest
ONLY_OUT_OF_DATE_TAG = "photo_popularity/only_out_of_date"


MAX_RETRIES, FIRST_PAUSE_SECONDS = 2, 2.0
# what stays wrong until somebody does something, and says so itself
TOLD = (InputError, FileNotFoundError, PermissionError)


@dataclass(frozen=True)
class Shown:
    """What the page of an asset shows of one partition."""

    content_version: str
    metadata: Mapping[str, dg.MetadataValue]


class TableIOManager(dg.IOManager):
    """Loads the partitions that a step reads and commits those that it makes, one version a partition.

    A step commits as it goes (`commit`, `quarantine`), so that an end before its time loses little.
    """

    def __init__(self, storage: TableStorage) -> None:
        self._storage = storage

    def load_input(self, context: InputContext) -> object:
        """One frame with the rows of all partitions read; for a model, the models by partition."""
        try:
            step = step_of(self._storage, context.step_context)
        except Exception as error:
            raise classified(error, context.step_context) from error
        try:
            return self._storage.load(context.asset_key.path[-1], step)
        except Exception as error:
            raise self.recorded(step, error, context.step_context) from error

    def handle_output(self, context: OutputContext, obj: Mapping[str, Shown]) -> None:
        """Show what was committed. A run of one partition gets its data version and metadata here."""
        if len(obj) == 1:
            shown = next(iter(obj.values()))
            context.step_context.set_data_version(context.asset_key, DataVersion(shown.content_version))
            context.add_output_metadata(dict(shown.metadata))

    def commit(
        self, step: Step, results: Mapping[str, Result], *, partitions: Sequence[str], since: datetime
    ) -> dict[str, dict[str, Shown]]:
        """Make what was made of these partitions current; returns what the assets' pages show of them."""
        outputs = self._storage.commit(results, step, partitions=partitions, since=since)
        return {asset: self._shown(step, asset, results[asset].made, its) for asset, its in outputs.items()}

    def _shown(self, step: Step, asset: str, made: Made, outputs: Mapping[str, Output]) -> dict[str, Shown]:
        rows = by_partition(asset, made, list(outputs)) if isinstance(made, pd.DataFrame) else {}
        nothing = made.iloc[:0] if isinstance(made, pd.DataFrame) else made
        built_on = step.snapshot.built_on(step.declaration)
        more = {"built_on": dg.MetadataValue.text(built_on)} if built_on else {}
        return {
            partition: Shown(
                output.content_version, {**self.metadata(output, rows.get(partition, nothing)), **more}
            )
            for partition, output in outputs.items()
        }

    def quarantine(self, step: Step, partition: str, reason: str, *, since: datetime) -> dict[str, Shown]:
        """Put on record that nothing can be made of a partition as it is now; returns what its page shows, by asset."""
        outputs = self._storage.quarantine(step, partition, reason, since=since)
        return {
            asset: Shown(output.content_version, self._figures(output)) for asset, output in outputs.items()
        }

    def left_alone(self, step: Step, instance: dg.DagsterInstance) -> dict[str, dict[str, Shown]]:
        """What the pages show of the partitions that the step has not made, by asset and partition: the same as before."""
        shown: dict[str, dict[str, Shown]] = {asset: {} for asset in step.declaration.makes}
        for partition, outputs in step.kept.items():
            for asset, output in zip(step.declaration.makes, outputs, strict=True):
                before = instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=partition)
                told = before.asset_materialization if before else None
                version = (told.tags or {}).get("dagster/data_version") if told else None
                metadata = told.metadata if told and version == output.content_version else None
                shown[asset][partition] = Shown(
                    output.content_version, metadata if metadata is not None else self._figures(output)
                )
        for partition, reason in step.left_out.items():
            for asset in step.declaration.makes:
                shown[asset][partition] = Shown("withdrawn", {"withdrawn": dg.MetadataValue.text(reason)})
        return shown

    def recorded(self, step: Step, error: Exception, context: dg.StepExecutionContext) -> Exception:
        """Put the failure on record, as far as the catalog can be reached; returns the error as Dagster is to see it."""
        try:
            if not step.executions:
                self._storage.begin(step)
            self._storage.fail(step, str(error))
        except sa.exc.SQLAlchemyError as unrecorded:
            context.log.warning(f"the failure could not be put on record ({unrecorded})")
        self._storage.forget(step)
        return classified(error, context)

    def metadata(self, output: Output, made: Made) -> dict[str, dg.MetadataValue]:
        """What the asset's page shows of one output that was just made."""
        shown = self._figures(output)
        if isinstance(made, pd.DataFrame):
            shown["preview"] = dg.MetadataValue.md(preview(made))
        else:
            shown["card"] = dg.MetadataValue.json(dict(made.card))
        return shown

    def _figures(self, output: Output) -> dict[str, dg.MetadataValue]:
        if output.quarantined:
            return {QUARANTINED: dg.MetadataValue.text(output.quarantined)}
        shown: dict[str, dg.MetadataValue] = {
            "dagster/row_count": dg.MetadataValue.int(output.rows),
            "bytes": dg.MetadataValue.int(output.bytes),
            "content_version": dg.MetadataValue.text(output.content_version),
            "path": dg.MetadataValue.path(self._storage.outputs.url(output)),
        }
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
        context.run_id,
        context.op_def.name,
        partitions=partitions,
        launched_by=launched_by(tags, storage),
        # a person who has a run executed again wants it made again
        only_out_of_date=ONLY_OUT_OF_DATE_TAG in tags and PARENT_RUN_TAG not in tags,
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
        return dg.RetryRequested(MAX_RETRIES, FIRST_PAUSE_SECONDS * 2**context.previous_attempt_count)
    if isinstance(error, dg.Failure):
        return error
    return dg.Failure(description=cause_of(error), allow_retries=False)


def cause_of(error: Exception) -> str:
    """The error in words; one that was not written for people comes with its type."""
    return str(error) if isinstance(error, TOLD) else f"{type(error).__name__}: {error}"
