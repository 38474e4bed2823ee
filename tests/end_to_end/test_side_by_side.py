"""Staging beside production on one PostgreSQL and one S3 server; on the real site `make torture` has the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.side_by_side import assert_a_night_side_by_side
from tests.services.postgres import PostgresServer

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT = 900


def test_staging_makes_what_differs_and_leaves_production_as_it_is(
    small_site: Path, tmp_path: Path, postgres_server: PostgresServer
) -> None:
    assert_a_night_side_by_side(small_site, tmp_path, postgres=postgres_server, seconds=SECONDS_FOR_A_NIGHT)
