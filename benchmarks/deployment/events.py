"""How fast events of a run reach Dagster's storage: one by one, and together."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg

from resources.event_log import EVENTS_AT_ONCE, log_together

BATCH_SIZE = "DAGSTER_EVENT_BATCH_SIZE"
TOGETHER = f"{BATCH_SIZE}={EVENTS_AT_ONCE}"


@dataclass(frozen=True)
class Way:
    """A way of writing events: Dagster's settings, and how many go together; none: one by one."""

    storage: str
    how: str
    settings: Mapping[str, Any]
    together: int = 0


@dataclass(frozen=True)
class Written:
    """So many materializations that a step logged, in so many seconds; and the seconds of the whole run around it."""

    way: Way
    events: int
    seconds: float
    run_seconds: float

    @property
    def per_second(self) -> float:
        """Materializations a second."""
        return self.events / self.seconds


def ways(postgres: str) -> Sequence[Way]:
    """All that are compared, the stock one first for each storage."""
    on_postgres, home = {"postgres_url": postgres}, {"home": {"env": "DAGSTER_HOME"}}
    stock, ours = {"storage": {"postgres": on_postgres}}, pooled_on_postgres(on_postgres)
    on_sqlite = storage("event_log", "resources.event_log", "PooledSqliteEventLogStorage", home)
    return (
        Way("SQLite", "stock", {}),
        Way("SQLite", "resources/event_log.py", on_sqlite, EVENTS_AT_ONCE),
        Way("PostgreSQL", "stock", stock),
        Way("PostgreSQL", f"stock, {TOGETHER}", stock, EVENTS_AT_ONCE),
        Way("PostgreSQL", "resources/postgres_event_log.py", ours, EVENTS_AT_ONCE),
    )


def pooled_on_postgres(where: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in `dagster.yaml` of our event log on PostgreSQL, beside the stock storages of runs and schedules."""
    return {
        **storage("event_log", "resources.postgres_event_log", "PooledPostgresEventLogStorage", where),
        **storage("run", "dagster_postgres.run_storage", "PostgresRunStorage", where),
        **storage("schedule", "dagster_postgres.schedule_storage", "PostgresScheduleStorage", where),
    }


def storage(kind: str, module: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """One of the storages in `dagster.yaml`."""
    return {f"{kind}_storage": {"module": module, "class": name, "config": config}}


class Nothing(dg.IOManager):
    """Keeps nothing: the events are all that matters."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Leave it."""

    def load_input(self, context: dg.InputContext) -> object:
        """Nobody asks for it."""
        raise NotImplementedError


def write(way: Way, folder: Path, events: int) -> Written:
    """One run over as many partitions; its step logs an event for each, as the pipeline's assets do."""
    keys = [f"{place:06}.jpg" for place in range(events)]
    seconds = []

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(keys), backfill_policy=dg.BackfillPolicy.single_run()
    )
    def size(context: dg.AssetExecutionContext) -> Iterator[dg.Output[int]]:
        yield dg.Output(1)
        told = [
            dg.AssetMaterialization("size", partition=key, tags={"dagster/data_version": key})
            for key in context.partition_keys
        ]
        started = time.perf_counter()
        log_together(context.op_execution_context.get_step_execution_context(), told)
        seconds.append(time.perf_counter() - started)

    folder.mkdir(parents=True)
    (folder / "dagster.yaml").write_text(json.dumps({**way.settings, "telemetry": {"enabled": False}}))
    job = dg.Definitions([size], resources={"io_manager": Nothing()}).resolve_implicit_global_asset_job_def()
    variables = {"DAGSTER_HOME": str(folder), BATCH_SIZE: str(way.together)}
    with (
        patch.dict(os.environ, variables),
        Path(os.devnull).open("w") as nowhere,
        redirect_stderr(nowhere),
        dg.DagsterInstance.from_config(str(folder)) as instance,
    ):
        started = time.perf_counter()
        ranged = {
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        }
        result = job.execute_in_process(instance=instance, tags=ranged)
        run_seconds = time.perf_counter() - started
        asset = dg.AssetKey("size")
        assert result.success
        assert instance.get_materialized_partitions(asset) == set(keys)
        last = instance.get_latest_data_version_record(asset, partition_key=keys[0])
        assert last is not None
        assert last.asset_materialization is not None
        assert (last.asset_materialization.tags or {})["dagster/data_version"] == keys[0]
    return Written(way, events, seconds[0], run_seconds)
