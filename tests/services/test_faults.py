"""The faults that tests bring about are the real thing: a server that is gone, a disk without room, a clock that jumps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.services.clock import jumping_clock
from tests.services.postgres import running_server, server_binaries
from tests.services.s3 import S3Server
from tests.services.small_disk import small_disk
from tests.services.unsteady import unsteady

TELL_TIME = """
import sys, time
from datetime import datetime
for line in sys.stdin:
    print(time.time(), datetime.now().timestamp(), time.monotonic(), flush=True)
"""


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restarted_server_has_what_was_committed_and_nobody_connected(how: signal.Signals) -> None:
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("this machine has no PostgreSQL server (Debian: apt-get install postgresql)")
    with running_server(binaries, {}) as server:
        engine = sa.create_engine(server.new_database())
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE photo AS SELECT 7 AS id"))
        with engine.connect() as connection:
            server.stop(how)
            with pytest.raises(sa.exc.OperationalError):
                connection.execute(sa.text("SELECT id FROM photo"))
        server.start()
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT id FROM photo")) == 7
        engine.dispose()


@pytest.mark.s3
def test_a_store_in_bad_weather_refuses_or_is_slow_and_is_then_as_before(
    s3_server: S3Server, s3_bucket: str
) -> None:
    from botocore.exceptions import ClientError

    with unsteady(s3_server.endpoint_url) as weather:
        client = replace(s3_server, endpoint_url=weather.address).client()
        client.put_object(Bucket=s3_bucket, Key="a key/of two", Body=b"night" * 1000)
        weather.refused_share = 1.0
        with pytest.raises(ClientError, match="SlowDown"):
            client.get_object(Bucket=s3_bucket, Key="a key/of two")
        assert weather.refused > 1
        weather.refused_share, weather.seconds = 0.0, 0.3
        started = time.monotonic()
        assert client.head_object(Bucket=s3_bucket, Key="a key/of two")["ContentLength"] == 5000
        assert time.monotonic() - started >= 0.3
        weather.seconds = 0.0
        assert client.get_object(Bucket=s3_bucket, Key="a key/of two")["Body"].read() == b"night" * 1000
        client.delete_object(Bucket=s3_bucket, Key="a key/of two")
        assert client.list_objects_v2(Bucket=s3_bucket)["KeyCount"] == 0


def test_a_full_disk_takes_nothing_until_there_is_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        disk.fill()
        with pytest.raises(OSError, match="No space left on device"):
            (disk.folder / "night").write_bytes(b"night")
        disk.empty()
        (disk.folder / "night").write_bytes(b"night")
    assert not (tmp_path / "disk").exists()


def test_a_clock_jumps_for_a_program_that_runs_and_leaves_durations_alone(tmp_path: Path) -> None:
    clock = jumping_clock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", TELL_TIME],
        env={**os.environ, **clock.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for jump, seconds in ((0, 0), (3600, 3600), (-86_400, -82_800), (82_800, 0)):
            clock.jump(jump)
            program.stdin.write("\n")
            program.stdin.flush()
            of_day, of_date, since_start = map(float, program.stdout.readline().split())
            expected = time.time() + seconds
            assert abs(of_day - expected) < 30
            assert abs(of_date - expected) < 30
            assert abs(since_start - time.monotonic()) < 30
        program.stdin.close()
