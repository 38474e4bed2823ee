"""The night by separate processes on PostgreSQL and S3, as `deploy/one_machine` starts them, is the embedded night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import wait_for
from tests.end_to_end.deployed_site import deployed_site, embedded_run, versions
from tests.services.one_machine import DEPLOYMENT, UNITS, one_machine, service, variables_of_the_example
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT = 360
LAST_NIGHT = "2026-10-24"
# each needs what another has made
QUESTION = f"SELECT * FROM popularity_predictions WHERE day = '{LAST_NIGHT}' ORDER BY photo_id"


@pytest.fixture(scope="module")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    return embedded_run(small_site, tmp_path_factory.mktemp("embedded") / "home")


@pytest.fixture
def variables(
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
    embedded: CommandLine, variables: dict[str, str], tmp_path: Path
) -> None:
    deployed, wanted = CommandLine(tmp_path / "home"), versions(embedded, {})
    beside = sorted(DEPLOYMENT.rglob("*"))
    with one_machine(tmp_path, variables):
        wait_for(
            lambda: wanted.items() <= versions(deployed, variables).items(),
            "the night",
            seconds=SECONDS_FOR_A_NIGHT,
        )
        assert deployed.query(QUESTION, **variables) == embedded.query(QUESTION)
    assert sorted(DEPLOYMENT.rglob("*")) == beside
    # of days that the site does not know there is nothing but their emptiness
    more = versions(deployed, variables).keys() - wanted.keys()
    assert {asset for asset, _ in more} <= {"photo_metadata"}


@pytest.mark.parametrize("unit", UNITS)
def test_units_run_the_installed_programs_as_a_user_of_their_own(unit: str) -> None:
    its = service(unit)
    assert its["User"] == "photo-popularity"
    assert its["WorkingDirectory"] == "/opt/photo-popularity"
    assert its["EnvironmentFile"] == "/etc/photo-popularity/environment"
    assert its["ExecStart"].startswith("/opt/photo-popularity/.venv/bin/")
    assert (its["NoNewPrivileges"], its["ProtectSystem"]) == ("true", "strict")
    assert Path(variables_of_the_example()["DAGSTER_HOME"]).is_absolute()
