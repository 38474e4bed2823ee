"""The night of one machine on which each task has nothing but its own rights makes what the embedded run makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.environment import read_environment
from resources.identity import LOOKS
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import wait_for
from tests.end_to_end.deployed_site import deployed_site, versions
from tests.services.identities import credentials_of_tasks, drop_roles, write_credentials
from tests.services.one_machine import one_machine
from tests.services.postgres import PostgresServer
from tests.services.s3 import enforcing_server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

BUCKET = "everything"
SECONDS_FOR_A_NIGHT = 420


@pytest.fixture
def variables(
    embedded: CommandLine, small_site: Path, tmp_path: Path, postgres_server: PostgresServer
) -> Iterator[dict[str, str]]:
    """The environment of a production on servers that refuse each task whatever it has no right to."""
    with enforcing_server(tmp_path / "s3.log") as (s3, enforce):
        s3.client().create_bucket(Bucket=BUCKET)
        with deployed_site(
            small_site, tmp_path, embedded, s3=s3, bucket=BUCKET, postgres=postgres_server
        ) as everybodys:
            everybodys["PHOTO_POPULARITY_CREDENTIALS"] = str(tmp_path / "credentials")
            production = read_environment(everybodys)
            by_task = credentials_of_tasks(production, s3, everybodys)
            write_credentials(tmp_path / "credentials", by_task)
            enforce()
            yield everybodys | by_task[LOOKS]
            drop_roles(production)


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
