"""A night in which everything fails in turn, and which makes what an undisturbed one makes, once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import embedded_run
from tests.end_to_end.disturbed_night import DisturbedNight, disturbed_night
from tests.end_to_end.faults import (
    code_server_killed,
    daemon_killed,
    postgres_crashes,
    postgres_restarted,
    webserver_killed,
    worker_killed,
)
from tests.services.s3 import S3Server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres, pytest.mark.s3]

SECONDS_FOR_A_NIGHT = 900
HOURS_AHEAD = 3
SECONDS_WITHOUT_ROOM = 10


@pytest.fixture(scope="module")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    return embedded_run(small_site, tmp_path_factory.mktemp("embedded") / "home")


def disk_full_for_a_while(night: DisturbedNight) -> None:
    night.disk.fill()
    time.sleep(SECONDS_WITHOUT_ROOM)
    night.disk.empty()


def store_refuses_and_is_slow(night: DisturbedNight) -> None:
    night.store.refused_share, night.store.seconds = 0.2, 0.2


def store_is_well(night: DisturbedNight) -> None:
    assert night.store.refused > 5
    night.store.refused_share = night.store.seconds = 0.0


def clock_jumps_ahead(night: DisturbedNight) -> None:
    night.clock.jump(HOURS_AHEAD * 3600)


def test_a_night_in_which_everything_fails_in_turn_makes_the_same_once(
    embedded: CommandLine,
    small_site: Path,
    tmp_path: Path,
    s3_server: S3Server,
    s3_bucket: str,
) -> None:
    with disturbed_night(small_site, tmp_path, embedded, s3=s3_server, bucket=s3_bucket) as night:
        night.machine.start("daemon", name="second daemon")
        night.run_through(
            {
                10: [store_refuses_and_is_slow, worker_killed],
                25: [postgres_crashes],
                35: [store_is_well, code_server_killed],
                45: [daemon_killed, clock_jumps_ahead],
                55: [disk_full_for_a_while],
                65: [webserver_killed],
                75: [postgres_restarted],
            },
            seconds=SECONDS_FOR_A_NIGHT,
        )
    assert night.machine.disobeyed == []
    assert night.machine.children() == {}
