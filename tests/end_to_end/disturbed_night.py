"""A night of `deploy/one_machine` that is disturbed while it runs, and what has to hold after it: all as if nothing had been."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from photo_popularity.healing import IN_FLIGHT
from resources.catalog import Catalog
from resources.environment import Environment, read_environment
from resources.outputs import MODEL_SUFFIX
from resources.storage import open_folder
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import wait_for
from tests.end_to_end.deployed_site import QUESTION, Versions, deployed_site, versions
from tests.services.clock import Clock, jumping_clock
from tests.services.one_machine import OneMachine, one_machine
from tests.services.postgres import FAST, PostgresServer, running_server, server_binaries
from tests.services.s3 import S3Server
from tests.services.small_disk import SmallDisk, small_disk
from tests.services.unsteady import Weather, unsteady

# a server that is to lose nothing at a crash
DURABLE = {**FAST, "synchronous_commit": "on"}
DISK_MEGABYTES = 24
SECONDS_TO_END = 30


@dataclass
class DisturbedNight:
    """The deployment at work, and everything that it depends on."""

    machine: OneMachine
    postgres: PostgresServer
    store: Weather
    disk: SmallDisk
    clock: Clock
    environment: Environment
    catalog: Catalog
    instance: dg.DagsterInstance
    wanted: Versions
    started: float = field(default_factory=time.monotonic)

    def right(self) -> int:
        """How many partitions are as they are to be."""
        assets = {asset for asset, _ in self.wanted}
        there = {
            (asset, partition): output.content_version
            for asset in assets
            for partition, output in self.catalog.current(asset).items()
        }
        return len(self.wanted.items() & there.items())

    def in_flight(self, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """The runs that have not ended, or those of some statuses."""
        return list(self.instance.get_runs(dg.RunsFilter(statuses=list(statuses) or IN_FLIGHT)))

    def is_at_work(self) -> bool:
        """Whether a run has begun."""
        return bool(self.in_flight(dg.DagsterRunStatus.STARTED))

    def run_through(
        self, faults: dict[int, list[Callable[[DisturbedNight], object]]], *, seconds: float
    ) -> None:
        """Wait until all is made; at so many hundredths of it, while a run is at work, each of these faults befalls it."""
        left = [(share, fault) for share, its in sorted(faults.items()) for fault in its]

        def is_complete() -> bool:
            for name in self.machine.start_again():
                self.tell(f"{name} has ended by itself")
            right = self.right()
            if left and 100 * right >= left[0][0] * len(self.wanted) and self.is_at_work():
                _, fault = left.pop(0)
                self.tell(f"{right} of {len(self.wanted)} right: {fault.__name__}")
                fault(self)
            return right == len(self.wanted) and not self.in_flight()

        wait_for(is_complete, "the night", seconds=seconds)
        assert not left, left
        self.tell("all is made")

    def tell(self, what: str) -> None:
        """Note it for whoever looks at the output of a night that failed."""
        print(f"{time.monotonic() - self.started:.0f} s: {what}", flush=True)

    def assert_nothing_is_left_over(self) -> None:
        """No run and no execution that goes on, no lock, no file without a record, nothing made twice from the same inputs."""
        executions = self.catalog.executions()
        assert {one.status for one in executions} <= {"succeeded", "failed"}
        assert self.in_flight() == []
        assert self.catalog.untold() == []
        its, locks = self.environment, sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        with sa.create_engine(its.catalog_url, isolation_level="AUTOCOMMIT").connect() as connection:
            # the processes of a run hold one until they end, which is later than the run
            wait_for(lambda: connection.scalar(locks) == 0, "the last lock", seconds=SECONDS_TO_END)
            known = set(connection.scalars(sa.text(f"SELECT path FROM {its.catalog_schema}.memo")))
        results = open_folder(its.storage_root, s3_endpoint=its.settings.s3_endpoint)
        # the card of a model lies beside it
        known |= {f"{path.removesuffix(MODEL_SUFFIX)}.json" for path in known if path.endswith(MODEL_SUFFIX)}
        files = {file.removeprefix(f"{results.path}/") for file in results.fs.find(results.path)}
        # all that is known is there, but for what needs no file
        assert files >= known - {""}, known - files
        assert files <= known, files - known
        made = Counter(
            (one.asset, one.partition, *sorted(one.inputs.items()))
            for one in executions
            if one.status == "succeeded"
        )
        assert [what for what, times in made.items() if times > 1] == []


@contextmanager
def disturbed_night(
    site: Path, folder: Path, embedded: CommandLine, *, s3: S3Server, bucket: str, **more: str
) -> Iterator[DisturbedNight]:
    """The units on servers of their own, until the block ends, when no lock may be left.

    `more` stands in the units' environment too.
    """
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("this machine has no PostgreSQL server (Debian: apt-get install postgresql)")
    clock = jumping_clock(folder)
    with (
        small_disk(folder / "disk", megabytes=DISK_MEGABYTES) as disk,
        running_server(binaries, DURABLE) as postgres,
        unsteady(s3.endpoint_url) as store,
        deployed_site(
            site,
            disk.folder,
            embedded,
            s3=S3Server(store.address),
            bucket=bucket,
            postgres=postgres,
        ) as its_variables,
        pytest.MonkeyPatch.context() as patch,
    ):
        variables = its_variables | more
        patch.setenv("DAGSTER_POSTGRES_URL", variables["DAGSTER_POSTGRES_URL"])
        environment = read_environment(variables)
        catalog = Catalog(environment.catalog_url, schema=environment.catalog_schema)
        with (
            one_machine(folder, variables | dict(clock.variables)) as machine,
            dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance,
        ):
            wanted = versions(embedded, {})
            night = DisturbedNight(
                machine, postgres, store, disk, clock, environment, catalog, instance, wanted
            )
            yield night
            night.assert_nothing_is_left_over()
            deployed = CommandLine(disk.folder / "home")
            assert deployed.query(QUESTION, **variables) == embedded.query(QUESTION)
            assert wanted.items() <= versions(deployed, variables).items()
        assert list((disk.folder / "home").rglob("*.lock*")) == []
