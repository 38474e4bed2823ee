"""A production that works by itself, a staging environment beside it on the same servers, and what each of them has."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from photo_popularity.sensors import QUIET_SECONDS
from resources.catalog import Catalog
from resources.environment import Environment, read_environment
from resources.identity import LOOKS
from resources.outputs import read_outputs
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import ask, wait_for
from tests.end_to_end.deployed_site import SALT, Versions, deployed_site, embedded_run, versions
from tests.end_to_end.test_environments import succeeded
from tests.services.identities import credentials_of_tasks, drop_roles, write_credentials
from tests.services.one_machine import OneMachine, one_machine
from tests.services.postgres import PostgresServer, owned_database
from tests.services.s3 import S3Server, enforcing_server

BUCKET = "everything"
SENSORS = ("photo_files_sensor", "log_files_sensor", "photo_database_sensor", "changed_days_sensor")
# where Dagster notes that its daemon is alive and has looked
LOOKED = {"daemon_heartbeats", "instigators", "job_ticks", "jobs"}
IN_FLIGHT = """query { runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) {
  ... on Runs { results { runId } } } }"""
START = """mutation Start($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) {
  ... on Sensor { sensorState { status } } ... on PythonError { message } } }"""

Files = dict[str, str]
"""The digest of each file, by its path below the environment's root."""


@dataclass(frozen=True)
class Night:
    """What one or more embedded runs have left: versions, files, and how often each partition was made."""

    versions: Versions
    files: Files
    made: Counter[tuple[str, str]]

    @classmethod
    def after(cls, embedded: CommandLine) -> Night:
        """As it is now."""
        root = embedded.home / "storage" / "local"
        files = {
            str(path.relative_to(root)): digest(path.read_bytes())
            for path in root.rglob("*")
            if path.is_file() and not path.name.startswith("catalog.sqlite")
        }
        return cls(versions(embedded, {}), files, succeeded_of(embedded.history()))


@dataclass(frozen=True)
class Side:
    """An environment whose units are at work, as whoever owns the servers sees it."""

    environment: Environment
    variables: Mapping[str, str]
    machine: OneMachine
    s3: S3Server

    @cached_property
    def catalog(self) -> Catalog:
        """The environment's own."""
        return read_outputs(self.environment).catalog

    def made(self) -> Counter[tuple[str, str]]:
        """How often each partition was made."""
        return succeeded_of([vars(execution) for execution in self.catalog.executions()])

    def files(self) -> Files:
        """All that lies below its root."""
        return {key: digest(data) for key, _, data in self._objects()}

    def everything(self) -> dict[str, str]:
        """Digests of each file with the time of its writing, and of each table of its catalog and of Dagster."""
        files = {key: f"{moment} {digest(data)}" for key, moment, data in self._objects()}
        catalog = tables(self.environment.catalog_url, str(self.environment.catalog_schema))
        dagster = tables(self.variables["DAGSTER_POSTGRES_URL"], "public", without=LOOKED)
        return files | catalog | dagster

    def looks(self) -> int:
        """How often its daemon has looked at anything."""
        with connected(self.variables["DAGSTER_POSTGRES_URL"]) as connection:
            return int(connection.execute(sa.text("SELECT count(*) FROM job_ticks")).scalar_one())

    def switch_on(self) -> None:
        """Start all sensors, as somebody does in the pages."""
        for sensor in SENSORS:
            selector = {
                "repositoryName": "__repository__",
                "repositoryLocationName": "photo_popularity",
                "sensorName": sensor,
            }
            answer = ask(self.machine.address, START, sensor=selector)
            assert answer["startSensor"] == {"sensorState": {"status": "RUNNING"}}

    def wait_for(self, wanted: Versions, *, seconds: float) -> None:
        """Return once it has all of these versions, and is at rest."""
        assets = {asset for asset, _ in wanted}

        def is_complete() -> bool:
            there = {
                (asset, partition): output.content_version
                for asset in assets
                for partition, output in self.catalog.current(asset).items()
            }
            return wanted.items() <= there.items() and not self._in_flight()

        wait_for(is_complete, "all to be made", seconds=seconds)

    def _in_flight(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = ask(self.machine.address, IN_FLIGHT)["runsOrError"]["results"]
        return runs

    def _objects(self) -> Iterator[tuple[str, str, bytes]]:
        bucket, _, prefix = self.environment.storage_root.removeprefix("s3://").partition("/")
        client = self.s3.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
            for found in page.get("Contents", []):
                data = client.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
                yield found["Key"].removeprefix(f"{prefix}/"), found["LastModified"].isoformat(), data


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def tables(url: str, schema: str, *, without: Collection[str] = ()) -> dict[str, str]:
    """A digest of the rows of each table in a schema."""
    with connected(url) as connection:
        names = sorted(set(sa.inspect(connection).get_table_names(schema=schema)) - set(without))
        every = "SELECT md5(string_agg(its::text, ';' ORDER BY its::text)) FROM {}.{} its"
        return {
            f"{schema}.{name}": str(connection.exec_driver_sql(every.format(schema, name)).scalar())
            for name in names
        }


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def succeeded_of(executions: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((one["asset"], one["partition"]) for one in executions if one["status"] == "succeeded")


@contextmanager
def production(
    site: Path, folder: Path, embedded: CommandLine, *, s3: S3Server, postgres: PostgresServer
) -> Iterator[Side]:
    """Production's units on a site of which nothing is made yet; its catalog knows what each task may do."""
    folder.mkdir()
    s3.client().create_bucket(Bucket=BUCKET)
    with deployed_site(site, folder, embedded, s3=s3, bucket=BUCKET, postgres=postgres) as variables:
        environment = read_environment(variables)
        credentials_of_tasks(environment, s3)
        # or some files would be old enough for the first look, and the others would come after it
        time.sleep(QUIET_SECONDS + 1)
        try:
            with one_machine(folder, variables) as machine:
                yield Side(environment, variables, machine, s3)
        finally:
            drop_roles(environment)


@contextmanager
def room_for_staging(
    beside: Side, folder: Path, *, postgres: PostgresServer, **settings: str
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Rights for the tasks of a staging environment, and a database for its Dagster: its variables, and its units'."""
    (folder / "home").mkdir(parents=True)
    with owned_database(postgres, rights="") as dagster:
        everybodys = {
            **beside.variables,
            **settings,
            "DAGSTER_HOME": str(folder / "dagster"),
            "DAGSTER_POSTGRES_URL": dagster,
            "PHOTO_POPULARITY_ENV": "staging",
            "PHOTO_POPULARITY_USER": "ann",
            "PHOTO_POPULARITY_HOME": str(folder / "home"),
            "PHOTO_POPULARITY_CREDENTIALS": str(folder / "credentials"),
        }
        environment = read_environment(everybodys)
        by_task = credentials_of_tasks(environment, beside.s3)
        write_credentials(folder / "credentials", by_task)
        try:
            yield everybodys, everybodys | by_task[LOOKS]
        finally:
            drop_roles(environment)


def assert_a_night_side_by_side(
    site: Path, folder: Path, *, postgres: PostgresServer, seconds: float
) -> None:
    """Production makes what the embedded run makes, once; staging with another classifier what the next one makes."""
    embedded = embedded_run(site, folder / "embedded")
    first, other = Night.after(embedded), str(folder / "other.skops")
    pictures = str(embedded.home / "drawings" / "pictures")
    another = {"PHOTO_POPULARITY_CLASSIFIER": other, "PHOTO_POPULARITY_VISITOR_SALT": SALT}

    with (
        enforcing_server(folder / "s3.log") as (s3, enforce),
        production(site, folder / "production", embedded, s3=s3, postgres=postgres) as its,
    ):
        enforce()
        succeeded(embedded, "train-classifier", pictures, "--seed", "3", "--output", other)
        succeeded(embedded, "run", **another)
        second = Night.after(embedded)
        remade, changed = second.made - first.made, dict(second.files.items() - first.files.items())
        assert {asset for asset, _ in remade}.isdisjoint({"photo_content", "log_signals", "behavior_signals"})

        its.wait_for(first.versions, seconds=seconds)
        files = its.files()
        assert first.files.items() <= files.items()
        # days that are over, and that the site does not know yet, are empty
        assert {path.split("/")[0] for path in files.keys() - first.files.keys()} <= {"photo_metadata"}
        assert {partition: times for partition, times in its.made().items() if times > 1} == {}

        place = folder / "staging"
        with room_for_staging(its, place, postgres=postgres, **another) as (everybodys, of_units):
            before, looks = its.everything(), its.looks()
            with one_machine(place, of_units) as machine:
                beside = Side(read_environment(everybodys), everybodys, machine, s3)
                beside.switch_on()
                beside.wait_for(second.versions, seconds=seconds)
                assert beside.made() == remade
                assert changed.items() <= beside.files().items() <= second.files.items()
                assert its.looks() > looks
            assert its.everything() == before
