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
import yaml

from resources.dagster_home import INSTANCE_CONFIG
from resources.event_log import EVENTS_AT_ONCE, log_together
from tests.services.one_machine import DEPLOYMENT

BATCH_SIZE, DATABASE = "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_POSTGRES_URL"
STOCK_ON_POSTGRES = {"storage": {"postgres": {"postgres_url": {"env": DATABASE}}}}
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


def ways() -> Sequence[Way]:
    """All that are compared, the stock one first for each storage."""
    on_sqlite, on_postgres = storages(INSTANCE_CONFIG), storages(DEPLOYMENT / "dagster.yaml")
    return (
        Way("SQLite", "stock", {}),
        Way("SQLite", "resources/event_log.py", on_sqlite, EVENTS_AT_ONCE),
        Way("PostgreSQL", "stock", STOCK_ON_POSTGRES),
        Way("PostgreSQL", f"stock, {TOGETHER}", STOCK_ON_POSTGRES, EVENTS_AT_ONCE),
        Way("PostgreSQL", "resources/postgres_event_log.py", on_postgres, EVENTS_AT_ONCE),
    )


def storages(settings: Path) -> dict[str, Any]:
    """What a `dagster.yaml` of ours says of its storages."""
    its = yaml.safe_load(settings.read_text())
    return {key: value for key, value in its.items() if key.endswith("storage")}


class Nothing(dg.IOManager):
    """Keeps nothing: the events are all that matters."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Leave it."""

    def load_input(self, context: dg.InputContext) -> object:
        """Nobody asks for it."""
        raise NotImplementedError


def write(way: Way, database: str, folder: Path, events: int) -> Written:
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
    variables = {"DAGSTER_HOME": str(folder), DATABASE: database, BATCH_SIZE: str(way.together)}
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
