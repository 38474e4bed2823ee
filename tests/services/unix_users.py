"""Users of this machine for tests: numbers that no list knows, or those that the plan's own commands make."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from photo_popularity.deployment.file_owners import FileOwners, commands
from resources.task_users import TaskUser, become
from tests.end_to_end.dagster_ui import wait_for
from tests.services.one_machine import CHECKOUT, DEPLOYMENT

FIRST_NUMBER = 61_000
NO_COMPUTE_LOGS = """
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def skip_without_root() -> None:
    """Skip the test visibly where nobody can be made another user."""
    if os.geteuid() != 0:
        pytest.skip("only root may work as another user")


def shared_python() -> tuple[str, dict[str, str]]:
    """This Python, or the system's of its version with this one's packages, as all users may start it: program, variables.

    Skips visibly where others may read neither.
    """
    skip_without_root()
    nobody = TaskUser("nobody", FIRST_NUMBER - 1, FIRST_NUMBER - 1, (), "/")
    packages = f"{sysconfig.get_path('purelib')}:{CHECKOUT}"
    systems = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for program, variables in ((sys.executable, {}), (systems, {"PYTHONPATH": packages})):
        if as_user(nobody, partial(_imports_all, program, variables)):
            return program, variables
    pytest.skip(f"other users may not read {sys.executable}, nor {systems} with {packages}")


def as_systemd(user: str, capabilities: Iterable[str] = ()) -> list[str]:
    """What starts a program as User=, AmbientCapabilities= and NoNewPrivileges= of a unit do."""
    its = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities) or "-all"
    rights = [f"--inh-caps={its}", f"--ambient-caps={its}", "--no-new-privs"]
    return ["setpriv", "--init-groups", *rights, f"--reuid={user}", f"--regid={user}"]


def without_captured_output() -> str:
    """The `dagster.yaml` of one machine where each task is a user of its own."""
    return (DEPLOYMENT / "dagster.yaml").read_text() + NO_COMPUTE_LOGS


def _imports_all(program: str, variables: dict[str, str]) -> bool:
    words = [program, "-c", "import dagster, photo_popularity.definitions"]
    try:
        return subprocess.run(words, env=variables, cwd="/", capture_output=True, check=False).returncode == 0
    except (PermissionError, FileNotFoundError):
        return False


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A temporary folder that other users may enter, as they may not those of pytest; skips visibly without root."""
    skip_without_root()
    folder = Path(tempfile.mkdtemp(prefix="photo-popularity-users-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def numbered(*plans: FileOwners) -> dict[str, TaskUser]:
    """The folders of the plans made and given to users and groups that have a number each; these users by name."""
    groups = sorted({group for plan in plans for group in plan.groups})
    names = [*sorted({user.name for plan in plans for user in plan.users}), *groups]
    number = {name: FIRST_NUMBER + place for place, name in enumerate(names)} | {"root": 0}
    for plan in plans:
        for folder in plan.folders:
            folder.path.mkdir(parents=True, exist_ok=True)
            os.chown(folder.path, number[folder.owner], number[folder.group])
            folder.path.chmod(folder.mode)
        for source, group in plan.sources.items():
            os.chown(source, 0, number[group])
    found: dict[str, TaskUser] = {}
    for user in (user for plan in plans for user in plan.users):
        before = found[user.name].groups if user.name in found else ()
        its = {*before, number[user.name], *(number[group] for group in user.groups)}
        found[user.name] = TaskUser(
            user.name, number[user.name], number[user.name], tuple(its), str(user.home)
        )
    return found


@contextmanager
def made_for_real(plan: FileOwners) -> Iterator[None]:
    """The plan carried out as an administrator does; what it has added to the machine's users is taken away again."""
    if shutil.which("useradd") is None:
        pytest.skip("this machine has no useradd (Debian: apt-get install passwd)")
    users, groups = _names()
    script = "\n".join(commands(plan))
    try:
        # twice: a deployment is told so again after every change
        for _ in range(2):
            subprocess.run(["sh"], input=script, text=True, check=True)
        yield
    finally:
        mine = {user.name for user in plan.users} | {*plan.groups}
        for user in sorted(mine & _names()[0] - users):
            # what its last process started may be about to end
            wait_for(partial(_removed, user), f"the end of {user}'s processes", seconds=30)
        for group in sorted(mine & _names()[1] - groups):
            subprocess.run(["groupdel", group], check=True)


def _removed(user: str) -> bool:
    return subprocess.run(["userdel", user], check=False).returncode == 0


def _names() -> tuple[set[str], set[str]]:
    return {entry.pw_name for entry in pwd.getpwall()}, {entry.gr_name for entry in grp.getgrall()}


def as_user(user: TaskUser, call: Callable[[], Any]) -> Any:
    """What the call returns in a process that has become the user; it is to be what JSON can hold."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            become(user)
            os.write(writing, json.dumps(call()).encode())
            status = 0
        except BaseException:  # noqa: BLE001 -- a copy of the test's process must not go on as one
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, f"the process of {user.name} failed"
    return json.loads(answer)


def outcomes(calls: Sequence[Callable[[], object]]) -> list[str]:
    """For each call `done`, or `refused` by the system."""
    return [_outcome(call) for call in calls]


def _outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except PermissionError:
        return "refused"
    return "done"
