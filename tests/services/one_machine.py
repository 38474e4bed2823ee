"""The deployment of `deploy/one_machine` as separate processes: what its systemd units start, on this machine's free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.ports import HOST, accepts, free_port, wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOYMENT = CHECKOUT / "deploy" / "one_machine"
UNITS = ("code", "daemon", "webserver")
INSTALLED_AT, CODE_PORT, WEB_PORT = "/opt/photo-popularity", "4266", "3000"
SECONDS_TO_END = 30


@dataclass
class OneMachine:
    """The processes of the units, by the unit's name or another; `folder` has their logs and what they write.

    They work in `checkout`, each started by the words that `starters` has for its unit, if any.
    """

    folder: Path
    variables: Mapping[str, str]
    checkout: Path = CHECKOUT
    starters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    code_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    disobeyed: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the pages are."""
        return f"http://{HOST}:{self.web_port}"

    def log(self, unit: str) -> Path:
        """What the unit's process has printed."""
        return self.folder / f"{unit}.log"

    def start(self, unit: str, *, name: str = "") -> None:
        """Start the unit, also once more under another name, and wait until its port answers if it has one."""
        name = name or unit
        before = service(unit)["ExecStartPre"].replace("${DAGSTER_HOME}", self.variables["DAGSTER_HOME"])
        subprocess.run(before.split(), cwd=self.checkout, check=True)
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                self.command(unit),
                env={**os.environ, **self.variables},
                cwd=self.checkout,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        self.sessions.add(process.pid)
        port = {"code": self.code_port, "webserver": self.web_port}.get(unit)
        if port:
            wait_until(lambda: accepts(port), process, lambda: self.log(name).read_text(errors="replace"))

    def command(self, unit: str) -> list[str]:
        """What the unit starts, with this checkout, its interpreter and free ports in the place of those installed."""
        words = service(unit)["ExecStart"].split()
        workspace = self.folder / "workspace.yaml"
        workspace.write_text(
            (DEPLOYMENT / "workspace.yaml").read_text().replace(CODE_PORT, str(self.code_port))
        )
        here = {
            CODE_PORT: str(self.code_port),
            WEB_PORT: str(self.web_port),
            "deploy/one_machine/workspace.yaml": str(workspace),
        }
        program = Path(sys.executable).with_name(Path(words[0]).name)
        starter = self.starters.get(unit, ())
        return [*starter, str(program), *(here.get(word, word) for word in words[1:])]

    def children(self, *sessions: int) -> dict[int, str]:
        """What else runs of these sessions, or of any that was ever begun here: commands by process."""
        roots = set(sessions) or self.sessions
        alive = {process.pid for process in self.processes.values()}
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            # of a process that ends while it is looked at there is nothing to read
            with suppress(FileNotFoundError, ProcessLookupError):
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) in roots and state != "Z" and int(folder.name) not in alive:
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        return found

    def start_again(self) -> list[str]:
        """Start again what has ended by itself, as systemd does; returns which that was."""
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        for name in ended:
            self.processes.pop(name)
            self.start(name.split()[-1], name=name)
        return ended

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a unit's process and all that it has started, as systemd does: what does not obey is killed after a while."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        deadline = time.monotonic() + SECONDS_TO_END
        while (left := self.children(process.pid)) or process.poll() is None:
            if time.monotonic() > deadline:
                self.disobeyed += left.values()
                for one in left:
                    with suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
            time.sleep(0.1)


def service(unit: str) -> Mapping[str, str]:
    """The section [Service] of a unit."""
    parser = ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOYMENT / "systemd" / f"photo-popularity-{unit}.service")
    return parser["Service"]


def variables_of_the_example() -> dict[str, str]:
    """What `environment.example` sets."""
    lines = (DEPLOYMENT / "environment.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables_of_files(folder: Path, site: Path, *, catalog: str, dagster: str) -> dict[str, str]:
    """An environment whose sources and results are files, its records on PostgreSQL, and where nothing starts by itself."""
    return {
        **variables_of_the_example(),
        "DAGSTER_HOME": str(folder / "dagster"),
        "DAGSTER_POSTGRES_URL": dagster,
        "PHOTO_POPULARITY_ENV": "local",
        "PHOTO_POPULARITY_HOME": str(folder / "home"),
        "PHOTO_POPULARITY_CATALOG": catalog,
        "PHOTO_POPULARITY_STORAGE": str(folder / "storage"),
        "PHOTO_POPULARITY_PHOTOS": str(site / "photos"),
        "PHOTO_POPULARITY_LOGS": str(site / "logs"),
        "PHOTO_POPULARITY_DATABASE": f"sqlite:///{site / 'site.sqlite'}",
    }


@contextmanager
def one_machine(
    folder: Path, variables: Mapping[str, str], units: Iterable[str] = UNITS, **more: Any
) -> Iterator[OneMachine]:
    """The units started, all of them with the code location first, and ended again with whatever was started beside them."""
    machine = OneMachine(folder, variables, **more)
    try:
        for unit in units:
            machine.start(unit)
        yield machine
    finally:
        for name in reversed(list(machine.processes)):
            machine.end(name)
