"""What befalls a night of `deploy/one_machine` from one moment to the next; systemd starts again what has ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.end_to_end.disturbed_night import DisturbedNight

Fault = Callable[[DisturbedNight], object]

WORKER = "multiprocessing.spawn"


def worker_killed(night: DisturbedNight) -> None:
    """The process of a run ends."""
    code = night.machine.children(night.machine.processes["code"].pid)
    workers = [pid for pid, command in code.items() if WORKER in command]
    os.kill(workers[-1], signal.SIGKILL)


def code_server_killed(night: DisturbedNight) -> None:
    _kill(night, "code")


def daemon_killed(night: DisturbedNight) -> None:
    _kill(night, "daemon")


def webserver_killed(night: DisturbedNight) -> None:
    _kill(night, "webserver")


def _kill(night: DisturbedNight, unit: str) -> None:
    night.machine.end(unit, signal.SIGKILL)
    night.machine.start(unit)


def postgres_crashes(night: DisturbedNight) -> None:
    _restart_postgres(night, signal.SIGQUIT)


def postgres_restarted(night: DisturbedNight) -> None:
    _restart_postgres(night, signal.SIGINT)


def _restart_postgres(night: DisturbedNight, how: signal.Signals) -> None:
    night.postgres.stop(how)
    night.postgres.start()
