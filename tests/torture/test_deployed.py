"""Undisturbed nights of one machine make what the embedded run makes, with one identity and with one for each task.

A task's identity is a role in PostgreSQL and a user of S3, or a user of the machine whose folders the results lie in.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.file_owners import SERVICE, commands, file_owners
from photo_popularity.deployment.tasks import tasks
from resources.environment import read_environment
from resources.identity import LOOKS, secret_of, user_of
from resources.task_users import CAPABILITIES
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import (
    QUESTION,
    deployed_site,
    restricted_site,
    versions,
    wait_for_versions,
)
from tests.end_to_end.test_environments import VERSIONS, copy_database, succeeded
from tests.services.one_machine import CHECKOUT, DEPLOYMENT, UNITS, one_machine
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server
from tests.services.unix_users import (
    as_systemd,
    folder_for_all,
    made_for_real,
    shared_python,
    without_captured_output,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT = 900


@pytest.fixture
def ordinary(
    embedded: CommandLine,
    small_site: Path,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
    postgres_server: PostgresServer,
) -> Iterator[dict[str, str]]:
    """The environment of a production on the servers of the session."""
    with deployed_site(
        small_site, tmp_path, embedded, s3=s3_server, bucket=s3_bucket, postgres=postgres_server
    ) as variables:
        yield variables


def test_the_night_runs_by_itself_and_makes_what_the_embedded_run_makes(
    embedded: CommandLine, ordinary: dict[str, str], tmp_path: Path
) -> None:
    deployed, wanted = CommandLine(tmp_path / "home"), versions(embedded, {})
    beside = sorted(DEPLOYMENT.rglob("*"))
    with one_machine(tmp_path, ordinary):
        wait_for_versions(wanted, deployed, ordinary, seconds=SECONDS_FOR_A_NIGHT)
        assert deployed.query(QUESTION, **ordinary) == embedded.query(QUESTION)
    assert sorted(DEPLOYMENT.rglob("*")) == beside
    # of days that the site does not know there is nothing but their emptiness
    more = versions(deployed, ordinary).keys() - wanted.keys()
    assert {asset for asset, _ in more} <= {"photo_metadata"}


@pytest.fixture
def restricted(
    embedded: CommandLine, small_site: Path, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[dict[str, str]]:
    """The environment of a production on servers that refuse each task whatever it has no right to."""
    with restricted_site(small_site, tmp_path, embedded, postgres=postgres_server) as restricted:
        yield restricted.variables


def test_the_night_is_done_by_tasks_that_have_their_own_rights_alone(
    embedded: CommandLine, restricted: dict[str, str], tmp_path: Path
) -> None:
    deployed, wanted = CommandLine(tmp_path / "home"), versions(embedded, {})
    with one_machine(tmp_path, restricted):
        wait_for_versions(wanted, deployed, restricted, seconds=SECONDS_FOR_A_NIGHT)


@pytest.fixture
def of_users(
    embedded: CommandLine,
    small_site: Path,
    s3_server: S3Server,
    s3_bucket: str,
    postgres_server: PostgresServer,
) -> Iterator[dict[str, str]]:
    """The environment of a production with its results in folders, on a machine with a user for each task."""
    _, path = shared_python()
    with (
        folder_for_all() as folder,
        deployed_site(
            small_site, folder, embedded, s3=s3_server, bucket=s3_bucket, postgres=postgres_server
        ) as on_servers,
    ):
        for source in ("photos", "logs"):
            shutil.copytree(small_site / source, folder / source)
            (folder / source).chmod(0o700)
        classifier = shutil.copy(on_servers["PHOTO_POPULARITY_CLASSIFIER"], folder)
        variables = {
            **on_servers,
            **path,
            "HOME": on_servers["PHOTO_POPULARITY_HOME"],
            "PHOTO_POPULARITY_STORAGE": "",
            "PHOTO_POPULARITY_PHOTOS": str(folder / "photos"),
            "PHOTO_POPULARITY_LOGS": str(folder / "logs"),
            "PHOTO_POPULARITY_CLASSIFIER": str(classifier),
            "PHOTO_POPULARITY_CREDENTIALS": str(folder / "credentials"),
        }
        owners = file_owners(read_environment(variables), tasks(), list(PIPELINE.file_sets.values()))
        with made_for_real(owners):
            for command in commands(owners):
                if left_to_who_has_the_site := command.partition("# the site's own: ")[2]:
                    subprocess.run(["sh", "-c", left_to_who_has_the_site], check=True)
            for task in tasks():
                if task.name != LOOKS:
                    for name in task.secrets:
                        (folder / "credentials" / secret_of(task.name) / name).write_text(variables[name])
            yield variables


def test_the_night_is_done_by_tasks_that_are_users_of_the_machine(
    embedded: CommandLine, of_users: dict[str, str]
) -> None:
    production, wanted = read_environment(of_users), versions(embedded, {})
    folder = production.home.parent
    # for the units a checkout is what they copy their dagster.yaml from
    amended = folder / "checkout" / DEPLOYMENT.relative_to(CHECKOUT) / "dagster.yaml"
    amended.parent.mkdir(parents=True)
    amended.write_text(without_captured_output())
    dagster_home = Path(of_users["DAGSTER_HOME"])
    dagster_home.mkdir()
    shutil.chown(dagster_home, SERVICE)
    python, _ = shared_python()
    starters = {unit: [*as_systemd(SERVICE), python] for unit in UNITS}
    starters["code"] = [*as_systemd(SERVICE, CAPABILITIES), python]
    with one_machine(folder, of_users, checkout=folder / "checkout", starters=starters):
        deployed = CommandLine(production.home)
        wait_for_versions(wanted, deployed, of_users, seconds=SECONDS_FOR_A_NIGHT)
        assert deployed.query(QUESTION, **of_users) == embedded.query(QUESTION)
    root = Path(production.storage_root)
    owners = {
        (path.relative_to(root).parts[0], path.owner())
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] != "bundles"
    }
    assert owners == {(asset, user_of(production, task.name)) for task in tasks() for asset in task.files}


def test_sources_and_storage_on_servers_give_the_versions_of_the_embedded_run(
    small_site: Path, tmp_path: Path, s3_server: S3Server, s3_bucket: str, postgres_url: str
) -> None:
    copy_database(small_site / "site.sqlite", postgres_url)
    for file in sorted(small_site.glob("photos/**/*.*")) + sorted(small_site.glob("logs/*")):
        s3_server.client().upload_file(str(file), s3_bucket, f"site/{file.relative_to(small_site)}")
    embedded, served = CommandLine(tmp_path / "embedded"), CommandLine(tmp_path / "served")
    succeeded(embedded, "run", "--site", str(small_site))

    source = f"s3://{s3_bucket}/site"
    variables = {
        **s3_server.environment,
        "PHOTO_POPULARITY_S3_ENDPOINT": s3_server.endpoint_url,
        "PHOTO_POPULARITY_STORAGE": f"s3://{s3_bucket}/results",
    }
    options = ["--photos", f"{source}/photos", "--logs", f"{source}/logs", "--database", postgres_url]
    succeeded(served, "run", *options, **variables)

    assert served.query(VERSIONS, **variables) == embedded.query(VERSIONS)
    question = "SELECT * FROM popularity_predictions ORDER BY photo_id"
    assert served.query(question, **variables) == embedded.query(question)
    assert "nothing was recomputed" in succeeded(served, "run", **variables)
