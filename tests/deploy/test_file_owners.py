"""The file system itself refuses whatever a task may not do: each task against every asset, as a user of its own."""

from __future__ import annotations

import json
import logging
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.file_owners import (
    SERVICE,
    FileOwners,
    file_owners,
    refuse_other_environments,
)
from photo_popularity.deployment.tasks import Task, tasks
from photo_popularity.domain.errors import InputError
from resources.environment import Environment, read_environment
from resources.identity import LOOKS, readers_of, secret_of, user_of
from resources.run_logs import RunLogHandler, share_log
from resources.settings import Settings
from resources.storage import FileStorage
from resources.task_users import CAPABILITIES, TaskUser, check_may_become, user_in
from tests.deploy.step_with_a_user import STARTED, TASK, TOLD
from tests.end_to_end.dagster_ui import wait_for
from tests.services.one_machine import CHECKOUT
from tests.services.ports import wait_until
from tests.services.postgres import PostgresServer
from tests.services.unix_users import (
    as_systemd,
    as_user,
    folder_for_all,
    made_for_real,
    numbered,
    outcomes,
    shared_python,
    without_captured_output,
)

ASSETS = sorted(PIPELINE.by_asset)
MAKERS = [task for task in tasks() if task.files]
SOURCES = {"photo_files": "photos", "log_files": "logs"}
EVERY = pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
NAMES = pytest.mark.parametrize("name", ["production", "staging"])
DONE, REFUSED = "done", "refused"
Calls = list[Callable[[], object]]


def plan(environment: Environment) -> FileOwners:
    return file_owners(environment, tasks(), list(PIPELINE.file_sets.values()))


def environment(name: str, home: Path, user: str = "ann") -> Environment:
    beside = home.parent
    settings = Settings(
        storage=str(beside / "results"),
        photos=str(beside / "photos"),
        logs=str(beside / "logs"),
        catalog="postgresql://x/y",
    )
    return Environment(name, user, home, settings)


def found(may: bool) -> str:
    return DONE if may else REFUSED


def outcomes_at_assets(user: TaskUser, attempts: Callable[[str], Calls]) -> dict[str, list[str]]:
    """What comes of the attempts of a user at each asset."""
    answers: dict[str, list[str]] = as_user(
        user, lambda: {asset: outcomes(attempts(asset)) for asset in ASSETS}
    )
    return answers


@dataclass(frozen=True)
class Machine:
    """Production and a staging environment on one file system, with a file of every asset and source in both."""

    environments: Mapping[str, Environment]
    users: Mapping[str, TaskUser]

    def user(self, name: str, task: Task) -> TaskUser:
        """Who works on the task; the service looks at sources."""
        its = user_of(self.environments[name], task.name)
        return self.users[SERVICE if task.name == LOOKS else its]

    def storage(self, name: str) -> FileStorage:
        """The results of an environment."""
        return FileStorage(self.environments[name].storage_root)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A file system on which both environments' plans are carried out, and each asset is written by its task."""
    with folder_for_all() as folder:
        for source in SOURCES.values():
            (folder / source).mkdir()
            (folder / source / "x").write_bytes(b"content")
            (folder / source).chmod(0o750)
        its = {name: environment(name, folder / "home") for name in ("production", "staging")}
        machine = Machine(its, numbered(*(plan(environment) for environment in its.values())))
        for name in its:
            for task in MAKERS:
                for asset in task.files:
                    path, storage = f"{asset}/day/x.parquet", machine.storage(name)
                    as_user(machine.user(name, task), partial(storage.write, path, b"rows"))
        yield machine


@NAMES
@EVERY
def test_a_task_reads_its_inputs_and_writes_its_outputs_and_nothing_else(
    machine: Machine, name: str, task: Task
) -> None:
    storage, root = machine.storage(name), Path(machine.environments[name].storage_root)

    def attempts(asset: str) -> Calls:
        return [
            partial(storage.read, f"{asset}/day/x.parquet"),
            partial(storage.write, f"{asset}/day/by-{task.name}", b"rows"),
            partial(storage.write, f"{asset}/by-{task.name}/x.parquet", b"rows"),
            partial((root / asset / "day" / "x.parquet").open, "ab"),
            partial((root / asset / "day" / "x.parquet").chmod, 0o640),
        ]

    for asset, (read, *written) in outcomes_at_assets(machine.user(name, task), attempts).items():
        assert (asset, read) == (asset, found(asset in task.reads | task.files))
        assert (asset, set(written)) == (asset, {found(asset in task.files)})


@NAMES
@EVERY
def test_a_task_removes_nothing_of_others_and_makes_no_room_of_its_own(
    machine: Machine, name: str, task: Task
) -> None:
    storage, root = machine.storage(name), Path(machine.environments[name].storage_root)
    others = [root / asset / "day" / "x.parquet" for asset in ASSETS if asset not in task.files]
    calls: Calls = [path.unlink for path in others]
    calls += [lambda: list(root.iterdir()), lambda: storage.write("another/x", b"rows"), root.rmdir]
    assert set(as_user(machine.user(name, task), lambda: outcomes(calls))) == {REFUSED}
    assert all(path.exists() for path in others)


@NAMES
@EVERY
def test_bundles_are_for_those_who_keep_them(machine: Machine, name: str, task: Task) -> None:
    storage = machine.storage(name)
    path = "bundles/log_signals/2026-01-01.bundle"
    expected = found("log_signals" in task.bundles)
    calls = [lambda: storage.write(path, task.name.encode()), lambda: storage.read(path)]
    assert as_user(machine.user(name, task), lambda: outcomes(calls)) == [expected] * 2


@NAMES
@EVERY
def test_a_task_reads_only_its_sources_and_changes_none(machine: Machine, name: str, task: Task) -> None:
    home = machine.environments[name].home
    for source, folder in SOURCES.items():
        its = home.parent / folder
        calls: Calls = [(its / "x").read_bytes, (its / "x").unlink, (its / "y").touch]
        answers = as_user(machine.user(name, task), partial(outcomes, calls))
        assert (source, answers) == (source, [found(source in task.sources), REFUSED, REFUSED])


@EVERY
def test_staging_reads_of_production_what_the_same_task_reads_and_writes_nothing_there(
    machine: Machine, task: Task
) -> None:
    production = machine.storage("production")

    def attempts(asset: str) -> Calls:
        return [
            partial(production.read, f"{asset}/day/x.parquet"),
            partial(production.write, f"{asset}/day/x.parquet", b"other rows"),
            partial(production.write, f"{asset}/new/x.parquet", b"rows"),
        ]

    for asset, (read, *written) in outcomes_at_assets(machine.user("staging", task), attempts).items():
        assert (asset, read) == (asset, found(asset in task.reads | task.files))
        assert (asset, set(written)) == (asset, {REFUSED})


@pytest.mark.parametrize("task", MAKERS, ids=lambda task: task.name)
def test_production_knows_nothing_of_staging(machine: Machine, task: Task) -> None:
    """Services can become every user of their machine: these are kept apart by a machine of each one's own."""
    staging = machine.storage("staging")
    calls: Calls = [partial(staging.read, f"{asset}/day/x.parquet") for asset in ASSETS]
    calls += [partial(staging.write, f"{asset}/new/x.parquet", b"rows") for asset in ASSETS]
    assert set(as_user(machine.user("production", task), lambda: outcomes(calls))) == {REFUSED}


def test_what_is_written_belongs_to_its_task_and_its_readers(machine: Machine) -> None:
    for name, its in machine.environments.items():
        for task in MAKERS:
            for asset in task.files:
                folder = Path(its.storage_root) / asset
                group = folder.stat().st_gid
                for path, mode in ((folder / "day", 0o2750), (folder / "day" / "x.parquet", 0o640)):
                    status = path.stat()
                    assert (status.st_uid, status.st_gid) == (machine.user(name, task).uid, group)
                    assert stat.S_IMODE(status.st_mode) == mode


@pytest.mark.parametrize("task", MAKERS, ids=lambda task: task.name)
def test_all_tasks_add_to_the_log_that_a_run_has_begun_and_cannot_do_more(
    machine: Machine, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    production = machine.environments["production"]
    monkeypatch.setenv("PHOTO_POPULARITY_ENV", "production")
    monkeypatch.setenv("PHOTO_POPULARITY_HOME", str(production.home))
    log = production.run_logs / f"{task.name}.log"

    def tell(who: str, run_id: str = task.name) -> None:
        record = logging.LogRecord("dagster", logging.INFO, __file__, 1, who, (), None)
        record.dagster_meta = {"run_id": run_id, "orig_message": who}
        handler = RunLogHandler()
        handler.handleError = _raise  # type: ignore[method-assign]
        handler.emit(record)

    service = machine.user("production", tasks()[-1])
    as_user(service, lambda: share_log(production, task.name))
    as_user(service, lambda: tell("the run"))
    calls: Calls = [
        lambda: tell("the step"),
        lambda: tell("the step", run_id="another"),
        log.read_text,
        log.unlink,
        lambda: list(log.parent.iterdir()),
    ]
    answers = as_user(machine.user("production", task), lambda: outcomes(calls))
    assert answers == [DONE, REFUSED, REFUSED, REFUSED, REFUSED]
    as_user(service, lambda: tell("the run again"))
    words = [line.split(" ", 3)[-1] for line in log.read_text().splitlines()]
    assert words == ["the run", "the step", "the run again"]
    assert as_user(machine.user("staging", task), lambda: outcomes([lambda: tell("staging")])) == [REFUSED]


def _raise(record: logging.LogRecord) -> None:
    raise  # noqa: PLE0704 -- called where an exception is at hand


def test_names_are_short_enough_and_nobodys_twice() -> None:
    """Two people whose names begin alike, and environments that share a file system."""
    people = ["a" * 24, "a" * 24 + "b", "ann", "ann-lee", "ann.lee"]
    its = [environment("production", Path("/home"))]
    its += [environment("staging", Path("/home"), person) for person in people]
    users: list[str] = []
    groups: list[str] = []
    for place in its:
        users += [user_of(place, task.name) for task in MAKERS]
        groups += [group for group in plan(place).groups if place is its[0] or group not in groups]
    own = {readers_of(place, asset) for place in its for asset in ASSETS}
    assert len(own) == len(its) * len(ASSETS)
    assert len({*users, *groups}) == len(users) + len(groups)
    assert max(len(name) for name in (*users, *groups)) <= 31


def test_what_users_cannot_share_is_told() -> None:
    place = environment("production", Path("/home"))
    with pytest.raises(InputError, match="s3://b/production, not in folders; what S3 is to be told"):
        plan(replace(place, settings=replace(place.settings, storage="s3://b")))
    with pytest.raises(InputError, match=r"is a SQLite file, .* set PHOTO_POPULARITY_CATALOG"):
        plan(replace(place, settings=replace(place.settings, catalog="")))


def passwd(name: str, comment: str) -> pwd.struct_passwd:
    """An entry of the machine's list of users."""
    return pwd.struct_passwd((name, "x", 61_000, 61_000, comment, "/", "/usr/sbin/nologin"))


def test_tasks_of_another_environment_are_no_users_of_its_machine() -> None:
    """The service could become them. In nobody's way are its own tasks, also those of before, and people."""
    production, staging = (environment(name, Path("/home")) for name in ("production", "staging"))
    its, others = ([passwd(one.name, one.task) for one in plan(of).users] for of in (production, staging))
    its += [
        passwd("pp_production_gone", "production gone"),
        passwd("pp_x", ""),
        passwd("ann", "staging-ann x"),
    ]
    refuse_other_environments(production, its)
    with pytest.raises(InputError, match="tasks of staging-ann, whom the service of production could become"):
        refuse_other_environments(production, its + others)


def test_nothing_is_printed_for_a_machine_that_has_users_of_another_environment() -> None:
    with folder_for_all() as folder:
        staging = environment("staging", folder / "home", f"t{secrets.token_hex(4)}")
        variables = {
            "PHOTO_POPULARITY_ENV": "production",
            "PHOTO_POPULARITY_HOME": str(folder / "production"),
            "PHOTO_POPULARITY_CATALOG": staging.settings.catalog,
        }
        command = [sys.executable, "-m", "photo_popularity.deployment", "owners"]
        with made_for_real(plan(staging)):
            done = subprocess.run(
                command, env=os.environ | variables, capture_output=True, text=True, check=False
            )
    assert (done.returncode, done.stdout) == (1, "")
    assert staging.label in done.stderr


def test_a_user_who_is_not_there_or_may_do_everything_is_no_tasks(tmp_path: Path) -> None:
    assert user_in(tmp_path) is None
    (tmp_path / "user").write_text("nobody-of-this-name\n")
    with pytest.raises(
        InputError, match="user: this machine has no user 'nobody-of-this-name'; make it with"
    ):
        user_in(tmp_path)
    (tmp_path / "user").write_text(pwd.getpwuid(0).pw_name)
    with pytest.raises(InputError, match="user: root may do everything; name the task's own user"):
        user_in(tmp_path)


def test_what_a_process_lacks_to_become_another_user_is_named() -> None:
    ann = TaskUser("ann", 61_000, 61_000, (), "/")
    check_may_become(ann, status="Name:\tx\nCapEff:\t00000000000000e0\n")
    with pytest.raises(InputError, match="lacks CAP_SETGID, so no step can work as ann; start the code loc"):
        check_may_become(ann, status="Name:\tx\nCapEff:\t00000000000000a0\n")


@dataclass(frozen=True)
class Installation:
    """A staging environment whose plan an administrator has carried out."""

    folder: Path
    python: str
    variables: Mapping[str, str]
    plan: FileOwners

    @property
    def environment(self) -> Environment:
        """The environment as its processes read it."""
        return read_environment(self.variables)

    def path(self, name: str) -> Path:
        """A result of the environment."""
        return Path(self.environment.storage_root) / name

    def start(self, job: str, service: str) -> subprocess.Popen[bytes]:
        """A run of the job in a process of its own, as root or as systemd starts the service."""
        words = [] if service == "root" else as_systemd(service, CAPABILITIES)
        words += [self.python, "-m", "dagster", "job", "execute", "-m", "tests.deploy.step_with_a_user"]
        with (self.folder / "run.log").open("wb") as log:
            return subprocess.Popen(
                [*words, "-j", job],
                env={**os.environ, **self.variables},
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
            )

    def said(self) -> str:
        """What the run has printed."""
        return (self.folder / "run.log").read_text(errors="replace")


@pytest.fixture
def installation(postgres_server: PostgresServer) -> Iterator[Installation]:
    """Users and folders as the printed commands make them; the users' names are those of nobody else's test."""
    python, path = shared_python()
    databases = [postgres_server.new_database() for _ in range(2)]
    with folder_for_all() as folder:
        dagster_home = folder / "dagster"
        dagster_home.mkdir()
        (dagster_home / "dagster.yaml").write_text(without_captured_output())
        variables = {
            "PHOTO_POPULARITY_ENV": "staging",
            "PHOTO_POPULARITY_USER": f"t{secrets.token_hex(4)}",
            "PHOTO_POPULARITY_HOME": str(folder / "home"),
            "PHOTO_POPULARITY_CATALOG": databases[0],
            "PHOTO_POPULARITY_CREDENTIALS": str(folder / "credentials"),
            "DAGSTER_HOME": str(dagster_home),
            "DAGSTER_POSTGRES_URL": databases[1],
            "AWS_SECRET_ACCESS_KEY": "secret-of-service",
            **path,
        }
        place = read_environment(variables)
        owners = plan(place)
        with made_for_real(owners):
            its = folder / "credentials" / secret_of(TASK)
            (its / "PHOTO_POPULARITY_CATALOG").write_text(databases[0])
            (its / "AWS_SECRET_ACCESS_KEY").write_text("secret-of-task")
            shutil.chown(dagster_home, SERVICE)
            yield Installation(folder, python, variables, owners)
    for url in databases:
        postgres_server.drop(url)


@pytest.mark.postgres
@pytest.mark.parametrize("service", ["root", SERVICE])
def test_a_step_works_as_its_tasks_user_and_has_no_way_back(installation: Installation, service: str) -> None:
    run = installation.start("telling", service)
    assert run.wait(120) == 0, installation.said()
    place, [mine] = installation.environment, [u for u in installation.plan.users if u.task.endswith(TASK)]
    entry = pwd.getpwnam(mine.name)
    file = installation.path(TOLD)
    told = json.loads(file.read_text())
    assert told == {
        "users": [entry.pw_uid] * 3,
        "groups": [entry.pw_gid] * 3,
        "also": sorted(os.getgrouplist(mine.name, entry.pw_gid)),
        "capabilities": ["0" * 16] * 4,
        "no_new_privileges": "1",
        "becomes_root": False,
        "writes_anothers": False,
        "reads_credentials": False,
        "reads_the_runs_variables": False,
        "knows": ["secret-of-task"],
        "label": place.label,
        "home": str(mine.home),
    }
    for path, mode in ((file, 0o640), (file.parent, 0o2750)):
        assert (path.owner(), path.group()) == (mine.name, readers_of(place, TASK))
        assert stat.S_IMODE(path.stat().st_mode) == mode
    [log] = place.run_logs.glob("*.log")
    assert "tell told by the step" in log.read_text()
    assert "Exception" not in installation.said()


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=lambda how: how.name)
def test_a_step_of_another_user_ends_with_its_run(installation: Installation, how: signal.Signals) -> None:
    run, started = installation.start("waiting", SERVICE), installation.path(STARTED)
    wait_until(started.exists, run, installation.said)
    process = Path("/proc") / started.read_text()
    assert f"Uid:\t{started.stat().st_uid}\t" in (process / "status").read_text()
    run.send_signal(how)
    assert run.wait(60) != 0
    wait_for(lambda: has_ended(process), "the end of the step's process", seconds=20)


def has_ended(process: Path) -> bool:
    """Whether a process is gone, or only its number is left."""
    try:
        return "State:\tZ" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
