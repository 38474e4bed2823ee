"""Production by separate processes, PostgreSQL and S3, and staging beside it on the same servers: a small site and the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.side_by_side import assert_a_night_side_by_side
from tests.services.postgres import PostgresServer

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT, SECONDS_FOR_THE_REAL_SITE = 900, 1800


def test_staging_makes_what_differs_and_leaves_production_as_it_is(
    small_site: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    assert_a_night_side_by_side(small_site, tmp_path, postgres=postgres_server, seconds=SECONDS_FOR_A_NIGHT)


@pytest.mark.real_data
def test_the_real_site_on_servers_is_the_embedded_run_and_staging_beside_it_makes_what_differs(
    real_data: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    site = real_data / "site"
    assert_a_night_side_by_side(site, tmp_path, postgres=postgres_server, seconds=SECONDS_FOR_THE_REAL_SITE)
