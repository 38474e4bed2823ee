"""Free ports and waiting for a server that was started; which servers, the other modules know."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable

HOST = "127.0.0.1"
START_SECONDS = 60


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens on this port of this machine."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port)) == 0


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Callable[[], str]) -> None:
    """Return once `ready`; a server that ends or stays silent is a RuntimeError that quotes its log."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {log()[-2000:]}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not answer in {START_SECONDS} s: {log()[-2000:]}")
        time.sleep(0.05)
