"""A run that ends before its time: Ctrl-C ends it at once, and the next run makes the rest and nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "home")


def ended_by(sent: signal.Signals, cli: CommandLine, site: Path, *, while_at: str) -> tuple[int, str]:
    """Send a signal to a run while it is at that work; its exit status and what it told on standard error."""
    program = Path(sys.executable).with_name("photo-popularity")
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PHOTO_POPULARITY_", "DAGSTER_"))}
    variables |= {"PHOTO_POPULARITY_HOME": str(cli.home), "PYTHONUNBUFFERED": "1"}
    command = [str(program), "run", "--site", str(site)]
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith(f"· {while_at}"):
                break
        time.sleep(0.5)
        run.send_signal(sent)
        started = time.monotonic()
        _, told = run.communicate(timeout=60)
        assert time.monotonic() - started < 15
    return run.returncode, told


def assert_made_once(cli: CommandLine, site: Path) -> None:
    """The next run ends well, and nothing was made twice."""
    again = cli("run", "--site", str(site))
    assert again.returncode == 0, again.stdout + again.stderr
    executions = cli.history()
    assert {row["status"] for row in executions} <= {"succeeded", "failed"}
    made = Counter((row["asset"], row["partition"]) for row in executions if row["status"] == "succeeded")
    assert set(made.values()) == {1}


@pytest.mark.parametrize("while_at", ["photo_content", "log_signals", "photo_metadata"])
def test_what_was_made_stays_and_the_same_command_goes_on(
    cli: CommandLine, small_site: Path, while_at: str
) -> None:
    status, told = ended_by(signal.SIGINT, cli, small_site, while_at=while_at)
    assert status == 130, told
    assert "interrupted: what was made stays, and the same command goes on with the rest" in told
    assert "Traceback" not in told
    assert_made_once(cli, small_site)


@pytest.mark.parametrize("while_at", ["photo_content", "photo_metadata"])
def test_the_run_after_one_that_was_killed_makes_the_rest(
    cli: CommandLine, small_site: Path, while_at: str
) -> None:
    status, _ = ended_by(signal.SIGKILL, cli, small_site, while_at=while_at)
    assert status == -signal.SIGKILL
    assert_made_once(cli, small_site)
