"""Ctrl-C in the middle of a run: it ends at once, says so, and the next run makes the rest and nothing twice."""

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


@pytest.mark.parametrize("while_at", ["photo_content", "log_signals", "photo_metadata"])
def test_what_was_made_stays_and_the_same_command_goes_on(
    small_site: Path, tmp_path: Path, while_at: str
) -> None:
    cli = CommandLine(tmp_path / "home")
    program = Path(sys.executable).with_name("photo-popularity")
    command = [str(program), "run", "--site", str(small_site)]
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PHOTO_POPULARITY_", "DAGSTER_"))}
    variables |= {"PHOTO_POPULARITY_HOME": str(cli.home), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith(f"· {while_at}"):
                break
        time.sleep(0.5)
        interrupted = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=60)
    assert run.returncode == 130, told
    assert "interrupted: what was made stays, and the same command goes on with the rest" in told
    assert "Traceback" not in told
    assert time.monotonic() - interrupted < 15
    again = cli("run", "--site", str(small_site))
    assert again.returncode == 0, again.stdout + again.stderr
    executions = cli.history()
    assert {row["status"] for row in executions} <= {"succeeded", "failed"}
    made = Counter((row["asset"], row["partition"]) for row in executions if row["status"] == "succeeded")
    assert set(made.values()) == {1}
