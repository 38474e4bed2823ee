"""Undisturbed nights of one machine make what the embedded run makes, with one identity and with one for each task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import (
    QUESTION,
    deployed_site,
    restricted_site,
    versions,
    wait_for_versions,
)
from tests.end_to_end.test_environments import VERSIONS, copy_database, succeeded
from tests.services.one_machine import DEPLOYMENT, one_machine
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

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
