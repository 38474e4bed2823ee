"""The night where each task has nothing but its own rights makes what the embedded run makes; with fewer rights it fails."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.environment import read_environment
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import wait_for
from tests.end_to_end.test_environments import copy_database, succeeded
from tests.end_to_end.test_one_machine import SALT, SECONDS_FOR_A_NIGHT, versions
from tests.services.identities import credentials_of_tasks, drop_roles, write_credentials
from tests.services.one_machine import one_machine, variables_of_the_example
from tests.services.postgres import PostgresServer
from tests.services.s3 import enforcing_server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

BUCKET = "everything"


@pytest.fixture(scope="module")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    command_line = CommandLine(tmp_path_factory.mktemp("embedded") / "home")
    succeeded(command_line, "run", "--site", str(small_site), PHOTO_POPULARITY_VISITOR_SALT=SALT)
    return command_line


@pytest.fixture
def variables(
    embedded: CommandLine, small_site: Path, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[dict[str, str]]:
    """The environment of a production on servers that refuse each task whatever it has no right to."""
    settings = tomllib.loads((embedded.home / "settings.toml").read_text())
    databases = {name: postgres_server.new_database() for name in ("site", "catalog", "dagster")}
    copy_database(small_site / "site.sqlite", databases["site"])
    with enforcing_server(tmp_path / "s3.log") as (s3, enforce):
        s3.client().create_bucket(Bucket=BUCKET)
        for file in sorted(small_site.glob("photos/**/*.*")) + sorted(small_site.glob("logs/*")):
            s3.client().upload_file(str(file), BUCKET, f"site/{file.relative_to(small_site)}")
        (tmp_path / "home").mkdir()
        common = {
            **variables_of_the_example(),
            **s3.environment,
            "DAGSTER_HOME": str(tmp_path / "dagster"),
            "DAGSTER_POSTGRES_URL": databases["dagster"],
            "PHOTO_POPULARITY_HOME": str(tmp_path / "home"),
            "PHOTO_POPULARITY_CATALOG": databases["catalog"],
            "PHOTO_POPULARITY_STORAGE": f"s3://{BUCKET}/results",
            "PHOTO_POPULARITY_S3_ENDPOINT": s3.endpoint_url,
            "PHOTO_POPULARITY_PHOTOS": f"s3://{BUCKET}/site/photos",
            "PHOTO_POPULARITY_LOGS": f"s3://{BUCKET}/site/logs",
            "PHOTO_POPULARITY_CLASSIFIER": settings["classifier"],
            "PHOTO_POPULARITY_DATA_SINCE": settings["data_since"],
            "PHOTO_POPULARITY_SECONDS_BETWEEN_LOOKS": "5",
            "PHOTO_POPULARITY_CREDENTIALS": str(tmp_path / "credentials"),
        }
        del common["PHOTO_POPULARITY_DATABASE"], common["PHOTO_POPULARITY_VISITOR_SALT"]
        production = read_environment(common)
        by_task = credentials_of_tasks(production, s3)
        for task in ("photo_metadata", "code_location"):
            by_task[task]["PHOTO_POPULARITY_DATABASE"] = databases["site"]
        for task in ("log_signals", "code_location"):
            by_task[task]["PHOTO_POPULARITY_VISITOR_SALT"] = SALT
        write_credentials(tmp_path / "credentials", by_task)
        enforce()
        yield common | by_task["code_location"]
        drop_roles(production)
    for url in databases.values():
        postgres_server.drop(url)


def test_the_night_is_done_by_tasks_that_have_their_own_rights_alone(
    embedded: CommandLine, variables: dict[str, str], tmp_path: Path
) -> None:
    deployed, wanted = CommandLine(tmp_path / "home"), versions(embedded, {})
    with one_machine(tmp_path, variables):
        wait_for(
            lambda: wanted.items() <= versions(deployed, variables).items(),
            "the night",
            seconds=SECONDS_FOR_A_NIGHT,
        )
