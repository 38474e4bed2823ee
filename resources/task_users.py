"""The UNIX user of a task, where each has one: found in the system's list, and taken on by a step's process for good."""

from __future__ import annotations

import ctypes
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from photo_popularity.domain.errors import InputError

# beside the variables of a task's credentials, whose names are in capitals
USER_FILE = "user"
# what takes another user, and what ends a process that has done so
CAPABILITIES = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7}
UMASK = 0o027
CAPABILITY_VERSION = 0x20080522
NO_NEW_PRIVILEGES = 38


@dataclass(frozen=True)
class TaskUser:
    """A user of this machine, with the numbers that the kernel goes by."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def user_in(credentials: Path) -> TaskUser | None:
    """The user whom a task's credentials name; None where they name nobody. InputError for one that is no task's."""
    file = credentials / USER_FILE
    if not file.exists():
        return None
    name = file.read_text().strip()
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise InputError(
            f"{file}: this machine has no user {name!r}; make it with what "
            "`python -m photo_popularity.deployment owners` prints"
        ) from error
    if found.pw_uid == 0:
        raise InputError(f"{file}: {name} may do everything; name the task's own user")
    groups = tuple(os.getgrouplist(name, found.pw_gid))
    return TaskUser(name, found.pw_uid, found.pw_gid, groups, found.pw_dir)


def check_may_become(user: TaskUser, *, status: str | None = None) -> None:
    """Raise InputError unless this process may start others as the user, and end them; `status` is what Linux says of it."""
    status = Path("/proc/self/status").read_text() if status is None else status
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    missing = [name for name, bit in CAPABILITIES.items() if not int(effective, 16) >> bit & 1]
    if missing:
        raise InputError(
            f"this process has user {os.geteuid()} and lacks {', '.join(missing)}, so no step can work as {user.name}; "
            "start the code location as root or with these capabilities (AmbientCapabilities= of its systemd unit)"
        )


def become(user: TaskUser) -> None:
    """Work as the user from now on, without a way back. For a process of one thread: capabilities are each thread's own."""
    os.setgroups(user.groups)
    # real, effective and saved: a saved one could be taken again
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    os.umask(UMASK)
    # those of a process that was not root outlast the change of its user
    libc = ctypes.CDLL(None, use_errno=True)
    header, nothing = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    _checked(libc.capset(header, nothing), "capabilities cannot be given up")
    # nor are any to be had from a program whose file grants them
    zero = ctypes.c_ulong(0)
    _checked(libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero), "no_new_privs cannot be set")


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
