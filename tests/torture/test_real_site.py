"""The night on the real site by separate processes, PostgreSQL and S3; and staging beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.side_by_side import assert_a_night_side_by_side
from tests.services.postgres import PostgresServer

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3, pytest.mark.real_data]

SECONDS_FOR_A_NIGHT = 1800


def test_the_real_site_on_servers_is_the_embedded_run_and_staging_beside_it_makes_what_differs(
    real_data: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    assert_a_night_side_by_side(
        real_data / "site", tmp_path, postgres=postgres_server, seconds=SECONDS_FOR_A_NIGHT
    )
