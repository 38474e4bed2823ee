"""What each task may do with results in local folders: a UNIX user a task, a group of readers an asset, as commands for root.

Files and folders below an asset's own take its group by themselves, and the umask of the tasks keeps all others away.
"""

from __future__ import annotations

import pwd
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from partitions.file_sets import FileSet
from photo_popularity.deployment.tasks import Task
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import (
    LOOKS,
    UNIX_PREFIX,
    bundlers_of,
    loggers_of,
    readers_of,
    readers_of_folder,
    secret_of,
    user_of,
)
from resources.task_users import USER_FILE

# who starts runs: it can become every task, as a run's process must
SERVICE = "photo-popularity"
ROOT = "root"


@dataclass(frozen=True)
class User:
    """Who works on a task: a member of these groups beside its own, with a folder for what its libraries keep.

    The task's `credentials` are a folder in which a file names the user, where the environment has such folders.
    """

    name: str
    task: str
    groups: frozenset[str]
    home: Path
    credentials: Path | None = None


@dataclass(frozen=True)
class Folder:
    """A folder and who may do what with it."""

    path: Path
    owner: str
    group: str
    mode: int


@dataclass(frozen=True)
class FileOwners:
    """Users and folders of an environment; `sources` are the site's own folders with the groups of those who read them."""

    users: Sequence[User]
    folders: Sequence[Folder]
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> list[str]:
        """All groups that folders belong to or users are members of, but for those that come with a user."""
        its = {group for user in self.users for group in user.groups}
        its |= {folder.group for folder in self.folders}
        return sorted(its - {user.name for user in self.users} - {ROOT})


def file_owners(
    environment: Environment, all_tasks: Sequence[Task], file_sets: Sequence[FileSet]
) -> FileOwners:
    """Users and folders of an environment; InputError when results or the catalog are not what users can share."""
    if "://" in environment.storage_root:
        raise InputError(
            f"results lie in {environment.storage_root}, not in folders; what S3 is to be told, "
            "`python -m photo_popularity.deployment policies` prints"
        )
    if environment.catalog_schema is None:
        raise InputError(
            "the catalog is a SQLite file, which tasks with users of their own cannot share; "
            "set PHOTO_POPULARITY_CATALOG to a PostgreSQL URL"
        )
    local = {files.name: getattr(environment.settings, files.setting) for files in file_sets}
    sources = {name: folder.rstrip("/") for name, folder in local.items() if folder and "://" not in folder}
    users = [_user(task, environment, sources) for task in all_tasks]
    return FileOwners(
        users,
        list(_folders(environment, all_tasks)),
        {folder: readers_of_folder(folder) for folder in sources.values()},
    )


def refuse_other_environments(environment: Environment, there: Iterable[pwd.struct_passwd]) -> None:
    """Raise InputError where users of this machine are tasks of another environment.

    What lets the service become its tasks, `CAP_SETUID`, knows no environments: it could become those, too.
    """
    comments = (user.pw_gecos.split() for user in there if user.pw_name.startswith(UNIX_PREFIX))
    if others := sorted({comment[0] for comment in comments if comment} - {environment.label}):
        raise InputError(
            f"this machine has users for the tasks of {', '.join(others)}, whom the service of {environment.label} could become; "
            f"give it a machine of its own, or remove those users where {others[0]} is done with"
        )


def commands(owners: FileOwners) -> Iterator[str]:
    """The commands for `sh`, to be run by root, again after every change of the pipeline."""
    yield "set -eu"
    for group in owners.groups:
        yield f"groupadd --system --force {group}"
    for user in owners.users:
        name, home = user.name, shlex.quote(str(user.home))
        yield (
            f"id -u {name} >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir {home} "
            f"--shell /usr/sbin/nologin --comment {shlex.quote(user.task)} {name}"
        )
        # what a task may no longer do it loses; the service may have groups that the site has given it
        append = "--append " if name == SERVICE else ""
        yield f"usermod {append}--groups {','.join(sorted(user.groups))} {name}"
    for folder in owners.folders:
        place = shlex.quote(str(folder.path))
        yield f"install -d -o {folder.owner} -g {folder.group} -m {folder.mode:04o} {place}"
    for user in owners.users:
        if user.credentials is not None:
            yield f"echo {user.name} > {shlex.quote(str(user.credentials / USER_FILE))}"
    for source, group in owners.sources.items():
        yield f"# the site's own: chgrp -R {group} {shlex.quote(source)}; chmod -R g+rX {shlex.quote(source)}"


def _user(task: Task, environment: Environment, sources: Mapping[str, str]) -> User:
    groups = {loggers_of(environment), *(readers_of(environment, asset) for asset in task.reads)}
    groups |= {bundlers_of(environment, asset) for asset in task.bundles}
    groups |= {readers_of_folder(sources[name]) for name in task.sources & sources.keys()}
    if production := environment.production:
        groups |= {readers_of(production, asset) for asset in task.reads | task.files}
    comment = f"{environment.label} {task.name}"
    if task.name == LOOKS:
        return User(SERVICE, comment, frozenset(groups), environment.home)
    name, folder = user_of(environment, task.name), _credentials(environment, task)
    return User(name, comment, frozenset(groups), _home(environment, task), folder)


def _folders(environment: Environment, all_tasks: Sequence[Task]) -> Iterator[Folder]:
    # systemd would give all that is in it to the service if it were another's
    yield Folder(environment.home, SERVICE, SERVICE, 0o755)
    root = Path(environment.storage_root)
    # who knows what lies there may go there; nobody may look around
    for path in (root, root / "bundles"):
        yield Folder(path, ROOT, ROOT, 0o711)
    for task in all_tasks:
        user = user_of(environment, task.name)
        for asset in sorted(task.files):
            yield Folder(root / asset, user, readers_of(environment, asset), 0o2750)
        if task.name != LOOKS:
            yield Folder(_home(environment, task), user, user, 0o700)
            if (its := _credentials(environment, task)) is not None:
                yield Folder(its, SERVICE, SERVICE, 0o700)
    for asset in sorted({asset for task in all_tasks for asset in task.bundles}):
        yield Folder(root / "bundles" / asset, ROOT, bundlers_of(environment, asset), 0o2770)
    # a run makes the file that its steps append to, and none of them looks around either
    yield Folder(environment.run_logs, SERVICE, loggers_of(environment), 0o2710)


def _home(environment: Environment, task: Task) -> Path:
    return environment.home / "users" / environment.label / task.name


def _credentials(environment: Environment, task: Task) -> Path | None:
    folder = environment.settings.credentials
    return Path(folder) / secret_of(task.name) if folder else None
