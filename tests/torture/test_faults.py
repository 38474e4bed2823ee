"""One fault at a time, harder and for longer than `tests/end_to_end/test_faults.py` has the time for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.disturbed_night import DisturbedNight, disturbed_night
from tests.end_to_end.faults import (
    Fault,
    code_server_killed,
    daemon_killed,
    postgres_crashes,
    webserver_killed,
    worker_killed,
)
from tests.services.s3 import S3Server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

# a run that is killed before it has begun is given up after two minutes, and others wait for it
SECONDS_FOR_A_NIGHT = 1500
# longer than any client of PostgreSQL here tries again
SECONDS_AWAY = 75
SECONDS_BACK = 60


def postgres_away(night: DisturbedNight) -> None:
    night.postgres.stop()
    time.sleep(SECONDS_AWAY)
    night.postgres.start()


def store_away(night: DisturbedNight) -> None:
    night.store.refused_share = 1.0
    time.sleep(SECONDS_AWAY)
    night.store.refused_share = 0.0


def store_overloaded(night: DisturbedNight) -> None:
    night.store.refused_share, night.store.seconds = 0.5, 1.0
    time.sleep(SECONDS_AWAY)
    night.store.refused_share = night.store.seconds = 0.0


def disk_full(night: DisturbedNight) -> None:
    night.disk.fill()
    time.sleep(SECONDS_AWAY)
    night.disk.empty()


def clock_jumps_ahead(night: DisturbedNight) -> None:
    night.clock.jump(86_400)


def clock_jumps_back(night: DisturbedNight) -> None:
    """While it is behind what it was, no sensor looks; Dagster counts from its last look."""
    night.clock.jump(-SECONDS_BACK)


def nothing(night: DisturbedNight) -> None:
    """Two daemons are enough."""


@pytest.mark.parametrize(
    "fault",
    [
        worker_killed,
        code_server_killed,
        daemon_killed,
        webserver_killed,
        postgres_crashes,
        postgres_away,
        store_away,
        store_overloaded,
        clock_jumps_ahead,
        clock_jumps_back,
        nothing,
    ],
)
def test_a_night_with_one_fault_makes_the_same_once(
    fault: Fault,
    embedded: CommandLine,
    small_site: Path,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
) -> None:
    with disturbed_night(small_site, tmp_path, embedded, s3=s3_server, bucket=s3_bucket) as night:
        if fault is nothing:
            night.machine.start("daemon", name="second daemon")
        night.run_through({10: [fault], 40: [fault], 70: [fault]}, seconds=SECONDS_FOR_A_NIGHT)


def test_a_night_whose_results_lie_on_a_full_disk_makes_the_same_once(
    embedded: CommandLine, small_site: Path, tmp_path: Path, s3_server: S3Server, s3_bucket: str
) -> None:
    results = str(tmp_path / "disk" / "results")
    with disturbed_night(
        small_site, tmp_path, embedded, s3=s3_server, bucket=s3_bucket, PHOTO_POPULARITY_STORAGE=results
    ) as night:
        night.run_through({10: [disk_full], 60: [disk_full]}, seconds=SECONDS_FOR_A_NIGHT)
