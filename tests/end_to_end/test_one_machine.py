"""The night by separate processes on PostgreSQL and S3, as `deploy/one_machine` starts them, is the embedded night."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import wait_for
from tests.end_to_end.test_environments import VERSIONS, copy_database, succeeded
from tests.services.one_machine import DEPLOYMENT, UNITS, one_machine, service, variables_of_the_example
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SALT = "a secret of this test"
SECONDS_FOR_A_NIGHT = 360
LAST_NIGHT = "2026-10-24"
# each needs what another has made
QUESTION = f"SELECT * FROM popularity_predictions WHERE day = '{LAST_NIGHT}' ORDER BY photo_id"


def versions(command_line: CommandLine, variables: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The content version of each partition."""
    rows = command_line.query(VERSIONS, **variables)
    return {(row["asset"], row["partition"]): row["content_version"] for row in rows}


@pytest.fixture(scope="module")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    command_line = CommandLine(tmp_path_factory.mktemp("embedded") / "home")
    succeeded(command_line, "run", "--site", str(small_site), PHOTO_POPULARITY_VISITOR_SALT=SALT)
    return command_line


@pytest.fixture
def variables(
    embedded: CommandLine,
    small_site: Path,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
    postgres_server: PostgresServer,
) -> Iterator[dict[str, str]]:
    """The environment of a production whose site, results and records lie on servers; nothing is made yet."""
    settings = tomllib.loads((embedded.home / "settings.toml").read_text())
    databases = {name: postgres_server.new_database() for name in ("site", "catalog", "dagster")}
    copy_database(small_site / "site.sqlite", databases["site"])
    for file in sorted(small_site.glob("photos/**/*.*")) + sorted(small_site.glob("logs/*")):
        s3_server.client().upload_file(str(file), s3_bucket, f"site/{file.relative_to(small_site)}")
    (tmp_path / "home").mkdir()
    yield {
        **variables_of_the_example(),
        **s3_server.environment,
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "DAGSTER_POSTGRES_URL": databases["dagster"],
        "PHOTO_POPULARITY_HOME": str(tmp_path / "home"),
        "PHOTO_POPULARITY_CATALOG": databases["catalog"],
        "PHOTO_POPULARITY_STORAGE": f"s3://{s3_bucket}/results",
        "PHOTO_POPULARITY_S3_ENDPOINT": s3_server.endpoint_url,
        "PHOTO_POPULARITY_PHOTOS": f"s3://{s3_bucket}/site/photos",
        "PHOTO_POPULARITY_LOGS": f"s3://{s3_bucket}/site/logs",
        "PHOTO_POPULARITY_DATABASE": databases["site"],
        "PHOTO_POPULARITY_VISITOR_SALT": SALT,
        "PHOTO_POPULARITY_CLASSIFIER": settings["classifier"],
        "PHOTO_POPULARITY_DATA_SINCE": settings["data_since"],
        "PHOTO_POPULARITY_SECONDS_BETWEEN_LOOKS": "5",
    }
    for url in databases.values():
        postgres_server.drop(url)


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
