"""Locks by name: held by one, given back, and told from those that a killed process has left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from resources.locks import FileLocks, Locks, Release, ServerLocks, take

HOLDER = """
import sys
import sqlalchemy as sa
from pathlib import Path
from resources.locks import FileLocks, ServerLocks
place = sys.argv[1]
if place.startswith("postgresql"):
    engine = sa.create_engine(place)
    locks = ServerLocks(lambda: engine, scope=sys.argv[2])
else:
    locks = FileLocks(Path(place))
release = locks.share("step-a") if sys.argv[3:] else locks.try_take("step-a")
print("held" if release else "not held", flush=True)
if sys.stdin.readline() == "give back\\n":
    release()
    print("given back", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_process(place: str, scope: str = "", *how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock `step-a`, alone unless it is told `shared`, until it gives it back or is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, place, scope, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert answer(holder) == "held"
        try:
            yield holder
        finally:
            holder.kill()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def told_to_give_back(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("give back\n")
    process.stdin.flush()
    return answer(process)


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def end_holders(engine: sa.Engine) -> None:
    """End the connections that hold locks of the server, as its restart does."""
    holders = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
    with engine.connect() as connection:
        connection.execute(sa.text(holders))


def taken(locks: Locks, name: str) -> Release:
    release = locks.try_take(name)
    assert release is not None
    return release


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["files", pytest.param("server", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the locks are: a folder, or a database."""
    return (
        str(tmp_path / "locks") if request.param == "files" else str(request.getfixturevalue("postgres_url"))
    )


@pytest.fixture
def locks(place: str) -> Iterator[Locks]:
    if not place.startswith("postgresql"):
        yield FileLocks(Path(place))
        return
    engine = sa.create_engine(place)
    yield ServerLocks(lambda: engine, scope="ours")
    engine.dispose()


def test_a_lock_is_held_by_one_until_it_is_given_back(locks: Locks) -> None:
    release = taken(locks, "step-a")
    assert locks.is_held("step-a")
    assert locks.try_take("step-a") is None
    release()
    assert not locks.is_held("step-a")
    taken(locks, "step-a")()


def test_locks_of_other_names_are_free(locks: Locks) -> None:
    release = taken(locks, "step-a")
    assert not locks.is_held("step-b")
    taken(locks, "step-b")()
    release()


def test_asking_whether_a_lock_is_held_takes_it_from_nobody(locks: Locks) -> None:
    release = taken(locks, "step-a")
    for _ in range(3):
        assert locks.is_held("step-a")
    assert locks.try_take("step-a") is None
    release()


def test_another_process_has_to_do_without_the_lock_and_may_have_it_afterwards(
    locks: Locks, place: str
) -> None:
    with another_process(place, "ours") as holder:
        assert locks.is_held("step-a")
        assert not locks.was_left_behind("step-a")
        assert locks.try_take("step-a") is None
        assert told_to_give_back(holder) == "given back"
        # the process lives on
        assert not locks.is_held("step-a")
        assert not locks.was_left_behind("step-a")
        taken(locks, "step-a")()


def test_the_lock_of_a_killed_process_is_free(locks: Locks, place: str) -> None:
    with another_process(place, "ours") as holder:
        killed(holder)
        release = take(locks, "step-a", waiting=lambda: None)
        assert locks.is_held("step-a")
        release()
    assert not locks.is_held("step-a")


def test_who_takes_a_lock_that_is_held_waits_for_it_and_says_so_once(locks: Locks) -> None:
    said: list[str] = []
    release = taken(locks, "step-a")
    threading.Timer(0.7, release).start()
    started = time.monotonic()
    mine = take(locks, "step-a", waiting=lambda: said.append("waiting"))
    assert time.monotonic() - started > 0.6
    assert said == ["waiting"]
    mine()


def test_of_many_that_ask_at_once_one_holds_the_lock(locks: Locks) -> None:
    """Risk: who gives a lock back removes its file, while another has just opened that same file."""
    inside, most = [0], [0]
    guard = threading.Lock()

    def hold_often() -> None:
        for _ in range(30):
            release = None
            while release is None:
                release = locks.try_take("step-a")
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            with guard:
                inside[0] -= 1
            release()

    threads = [threading.Thread(target=hold_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_shared_lock_is_held_until_the_last_process_ends_however_that_ends(
    locks: Locks, place: str
) -> None:
    mine = locks.share("step-a")
    with another_process(place, "ours", "shared") as one, another_process(place, "ours", "shared") as other:
        mine()
        assert locks.is_held("step-a")
        killed(one)
        # one of a run's processes was killed: those that live will say so
        assert locks.is_held("step-a")
        assert not locks.was_left_behind("step-a")
        assert told_to_give_back(other) == "given back"
        # the server notices the end of a connection a little later
        deadline = time.monotonic() + 10
        while locks.is_held("step-a") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not locks.is_held("step-a")
    locks.clear("step-a")
    assert not locks.was_left_behind("step-a")


def test_a_shared_lock_that_all_have_given_back_leaves_nothing_behind(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    for release in [locks.share("step-a") for _ in range(3)]:
        assert locks.is_held("step-a")
        release()
    assert not locks.is_held("step-a")
    assert not locks.was_left_behind("step-a")
    assert list(tmp_path.iterdir()) == []


def test_a_shared_file_lock_of_killed_processes_is_noticed_until_it_is_cleared(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    with (
        another_process(str(tmp_path), "", "shared") as one,
        another_process(str(tmp_path), "", "shared") as other,
    ):
        killed(one)
        assert not locks.was_left_behind("step-a")
        killed(other)
    assert locks.was_left_behind("step-a")
    assert not locks.is_held("step-a")
    locks.clear("step-a")
    assert not locks.was_left_behind("step-a")


def test_a_file_lock_that_a_killed_process_has_left_behind_is_noticed(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    assert not locks.was_left_behind("step-a")
    with another_process(str(tmp_path)) as holder:
        assert not locks.was_left_behind("step-a")
        killed(holder)
    assert locks.was_left_behind("step-a")
    assert not locks.is_held("step-a")
    # noticing it changes nothing; taking it and giving it back does
    assert locks.was_left_behind("step-a")
    taken(locks, "step-a")()
    assert not locks.was_left_behind("step-a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
def test_server_locks_of_two_environments_do_not_meet(engine: sa.Engine) -> None:
    ours, theirs = (ServerLocks(lambda: engine, scope=scope) for scope in ("ours", "theirs"))
    release = taken(ours, "step-a")
    assert not theirs.is_held("step-a")
    taken(theirs, "step-a")()
    release()


@pytest.mark.postgres
def test_a_server_lock_that_was_given_back_keeps_no_connection(engine: sa.Engine) -> None:
    locks = ServerLocks(lambda: engine, scope="ours")
    for _ in range(30):
        taken(locks, "step-a")()
        assert not locks.is_held("step-a")
    assert engine.pool.status().endswith("Current Checked out connections: 0")


def test_a_lock_lasts_until_it_is_given_back(locks: Locks) -> None:
    release = taken(locks, "step-a")
    assert release.lasts()
    assert release.lasts()
    release()


def test_a_file_lock_whose_file_somebody_has_removed_lasts_no_longer(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    release = taken(locks, "step-a")
    (tmp_path / "step-a.lock").unlink()
    assert not release.lasts()
    release()


@pytest.mark.postgres
def test_a_server_lock_ends_with_its_connection_and_is_then_given_back_by_nobody_else(
    engine: sa.Engine,
) -> None:
    """Risk: a broken connection would connect anew, and take the lock from whoever has it by now."""
    locks = ServerLocks(lambda: engine, scope="ours")
    lost, not_asked_for = taken(locks, "step-a"), taken(locks, "step-b")
    end_holders(engine)
    assert not lost.lasts()
    assert not lost.lasts()
    theirs = taken(locks, "step-a")
    lost()
    not_asked_for()
    assert theirs.lasts()
    assert locks.try_take("step-a") is None
    theirs()
    assert not locks.is_held("step-a")
    assert engine.pool.status().endswith("Current Checked out connections: 0")


@pytest.mark.postgres
def test_what_a_server_lock_has_left_behind_is_never_known(postgres_url: str, engine: sa.Engine) -> None:
    locks = ServerLocks(lambda: engine, scope="ours")
    with another_process(postgres_url, "ours") as holder:
        killed(holder)
        assert not locks.was_left_behind("step-a")
