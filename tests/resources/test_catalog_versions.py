"""Catalogs of other releases, on SQLite and on a real PostgreSQL: an older one is expanded, a newer one used or refused."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog, PublishedOutputs
from resources.catalog_records import Output, tables
from resources.catalog_versions import FIRST, VERSIONS, Version
from resources.databases import database_url, open_to_write
from tests.resources.test_catalog import FULL, a_catalog, execution, place, schema
from tests.resources.test_catalog import url as url  # noqa: PLC0414 -- a fixture

RUN = "run-1"


def qualified(name: str, schema: str | None) -> str:
    return f"{schema}.{name}" if schema else name


def add_run_id(connection: sa.Connection, schema: str | None) -> None:
    """As if outputs said only since this version which run has made them."""
    outputs = qualified("current_outputs", schema)
    connection.exec_driver_sql(f"ALTER TABLE {outputs} ADD COLUMN run_id TEXT")
    connection.exec_driver_sql(f"UPDATE {outputs} SET run_id = '{RUN}'")


def drop_log(connection: sa.Connection, schema: str | None) -> None:
    connection.exec_driver_sql(f"ALTER TABLE {qualified('executions', schema)} DROP COLUMN log")


def drop_memo(connection: sa.Connection, schema: str | None) -> None:
    connection.exec_driver_sql(f"DROP TABLE {qualified('memo', schema)}")


ADDS = Version(2, "0.2.0", "outputs say which run has made them", add_run_id)
BREAKS = Version(3, "0.3.0", "no execution names its log", drop_log, breaking=True)
LAST = Version(4, "0.4.0", "nothing is remembered", drop_memo, breaking=True)
NEWER = (*VERSIONS, ADDS, BREAKS)
RELEASES = {"add": NEWER, "known": VERSIONS}


def engine_of(url: str, label: str = "local") -> sa.Engine:
    return open_to_write(database_url(place(url, label)))


def an_old_catalog(url: str, label: str = "local") -> None:
    """One as a release before versions made it, with two outputs and an execution, and of the version before `ADDS`."""
    catalog = a_catalog(url, label)
    catalog.set_current("a", {"k": FULL, "l": FULL})
    catalog.begin([execution()])
    in_sql(url, f"DROP TABLE {qualified('catalog_versions', schema(url, label))}", label)
    in_sql(url, f"ALTER TABLE {qualified('current_outputs', schema(url, label))} DROP COLUMN run_id", label)


def in_sql(url: str, statement: str, label: str = "local") -> list[tuple[object, ...]]:
    engine = engine_of(url, label)
    try:
        with engine.begin() as connection:
            answer = connection.exec_driver_sql(statement)
            return [tuple(row) for row in answer] if answer.returns_rows else []
    finally:
        engine.dispose()


def versions_of(url: str, label: str = "local") -> list[int]:
    table = qualified("catalog_versions", schema(url, label))
    return [
        int(str(number)) for (number,) in in_sql(url, f"SELECT number FROM {table} ORDER BY number", label)
    ]


def columns_of(url: str, table: str, label: str = "local") -> set[str]:
    engine = engine_of(url, label)
    try:
        found = sa.inspect(engine).get_columns(table, schema=schema(url, label))
        return {column["name"] for column in found}
    finally:
        engine.dispose()


def of_release(url: str, versions: tuple[Version, ...], label: str = "local") -> Catalog:
    return Catalog(place(url, label), schema=schema(url, label), versions=versions)


def test_a_catalog_of_before_there_were_versions_has_the_first(url: str) -> None:
    """Nothing in it changes but that its version is written down."""
    before = a_catalog(url)
    before.set_current("a", {"k": FULL})
    before.begin([execution()])
    in_sql(url, f"DROP TABLE {qualified('catalog_versions', schema(url, 'local'))}")
    rows = f"SELECT * FROM {qualified('current_outputs', schema(url, 'local'))}"
    kept = in_sql(url, rows)
    assert a_catalog(url).current("a") == {"k": FULL}
    assert (in_sql(url, rows), versions_of(url)) == (kept, [1])


def test_whoever_opens_an_older_catalog_adds_what_it_lacks_and_takes_nothing_away(url: str) -> None:
    an_old_catalog(url)
    assert of_release(url, NEWER).current("a") == {"k": FULL, "l": FULL}
    assert versions_of(url) == [1, 2]
    assert "log" in columns_of(url, "executions")
    [kept] = of_release(url, NEWER).executions()
    assert kept == replace(execution(), id=kept.id)


def test_a_new_catalog_is_made_in_its_newest_version(url: str) -> None:
    """No step is done on it: what it adds is there, and what it takes away has never been."""
    of_release(url, NEWER).current("a")
    assert versions_of(url) == [1, 2, 3]


def test_what_breaks_older_releases_is_made_when_it_is_asked_for(url: str) -> None:
    an_old_catalog(url)
    catalog = of_release(url, NEWER)
    assert catalog.lacked() == [FIRST, ADDS, BREAKS]
    assert "run_id" not in columns_of(url, "current_outputs"), "to ask is not to make"
    assert list(catalog.contract()) == [BREAKS]
    assert versions_of(url) == [1, 2, 3]
    assert "log" not in columns_of(url, "executions")
    assert catalog.current("a") == {"k": FULL, "l": FULL}
    assert (catalog.lacked(), list(catalog.contract())) == ([], [])


def test_a_version_that_adds_waits_for_none_that_breaks(url: str) -> None:
    """What breaks may be put off for months, while releases go on adding."""
    later = (*VERSIONS, replace(BREAKS, number=2), replace(ADDS, number=3))
    an_old_catalog(url)
    of_release(url, later).current("a")
    assert versions_of(url) == [1, 3]
    assert [one.number for one in of_release(url, later).contract()] == [2]


def test_a_release_works_on_a_catalog_to_which_a_newer_one_has_only_added(url: str) -> None:
    an_old_catalog(url)
    of_release(url, (*VERSIONS, ADDS)).current("a")
    before = a_catalog(url)
    before.set_current("a", {"k": FULL._replace(content_version="of the older release")})
    assert before.current("a")["k"].content_version == "of the older release"
    assert before.lacked() == []


def test_a_release_refuses_a_catalog_that_a_newer_one_has_broken(url: str) -> None:
    an_old_catalog(url)
    list(of_release(url, (*NEWER, LAST)).contract())
    kept = in_sql(url, f"SELECT * FROM {qualified('current_outputs', schema(url, 'local'))}")
    for open_it in (lambda: a_catalog(url).current("a"), lambda: a_catalog(url).lacked()):
        with pytest.raises(InputError) as refusal:
            open_it()
        said = str(refusal.value)
        assert "has version 4 (nothing is remembered), and release 0.1.0 knows versions up to 1" in said
        assert "install release 0.4.0 or a newer one, or restore the catalog" in said
        assert "catalog.sqlite" in said or "***" in said, "it is named, without its password"
    # the release between the two knows what the first of them has taken away
    with pytest.raises(InputError, match=r"release 0.1.0 knows versions up to 3; install release 0.4.0"):
        of_release(url, NEWER).current("a")
    assert in_sql(url, f"SELECT * FROM {qualified('current_outputs', schema(url, 'local'))}") == kept


def test_staging_reads_a_production_of_the_version_before_and_leaves_it_so(url: str) -> None:
    an_old_catalog(url, "production")
    production = PublishedOutputs(place(url, "production"), schema=schema(url, "production"), versions=NEWER)
    staging = Catalog(
        place(url, "staging_ann"), schema=schema(url, "staging_ann"), published=production, versions=NEWER
    )
    of_before = FULL._replace(run_id=None)  # type: ignore[arg-type]
    assert staging.current("a") == {"k": of_before, "l": of_before}
    staging.set_current("a", {"l": FULL})
    assert staging.current("a") == {"k": of_before, "l": FULL}
    assert "run_id" not in columns_of(url, "current_outputs", "production")
    assert "catalog_versions" not in tables_of(url, "production")
    assert versions_of(url, "staging_ann") == [1, 2, 3]


def test_staging_says_that_it_cannot_read_a_production_that_is_too_new(url: str) -> None:
    an_old_catalog(url, "production")
    production = PublishedOutputs(place(url, "production"), schema=schema(url, "production"))
    staging = a_catalog(url, "staging_ann", published=production)
    of_release(url, (*VERSIONS, ADDS), "production").current("a")
    assert set(staging.current("a")) == {"k", "l"}
    # also while it is open
    list(of_release(url, NEWER, "production").contract())
    for ask in (lambda: staging.current("a"), lambda: staging.made_before("a", ["x"])):
        with pytest.raises(InputError, match=r"has version 3 .* install release 0.3.0 or a newer one"):
            ask()


def tables_of(url: str, label: str) -> set[str]:
    engine = engine_of(url, label)
    try:
        return set(sa.inspect(engine).get_table_names(schema=schema(url, label)))
    finally:
        engine.dispose()


CHANGER = """
import os, sys, time
from pathlib import Path
from resources.catalog import Catalog
from resources.catalog_versions import VERSIONS, Version
url, schema, folder = sys.argv[1:]
def change(connection, schema):
    outputs = f"{schema}.current_outputs" if schema else "current_outputs"
    connection.exec_driver_sql(f"ALTER TABLE {outputs} ADD COLUMN run_id TEXT")
    Path(folder, f"began {os.getpid()}").touch()
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    connection.exec_driver_sql(f"UPDATE {outputs} SET run_id = 'run-1'")
versions = (*VERSIONS, Version(2, "0.2.0", "outputs say which run has made them", change))
print(sorted(Catalog(url, schema=schema or None, versions=versions).current("a")))
"""


def changing(url: str, folder: Path) -> subprocess.Popen[str]:
    """A process of the newer release that is amid its change until the folder holds `go`."""
    return subprocess.Popen(
        [sys.executable, "-c", CHANGER, place(url, "local"), schema(url, "local") or "", str(folder)],
        env={**os.environ, "PYTHONPATH": "."},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_one(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob("began *")):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_processes_that_start_together_one_makes_the_change_and_the_others_wait(
    url: str, tmp_path: Path
) -> None:
    an_old_catalog(url)
    folder = tmp_path / "signals"
    folder.mkdir()
    processes = [changing(url, folder) for _ in range(3)]
    wait_for_one(folder)
    # long enough for the others to come to the same place
    time.sleep(2)
    began = list(folder.glob("began *"))
    (folder / "go").touch()
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert [out.strip() for out, _ in said] == ["['k', 'l']"] * 3
    assert began == list(folder.glob("began *"))
    assert len(began) == 1
    assert versions_of(url) == [1, 2]


def test_a_change_whose_process_is_killed_has_not_happened_and_the_next_makes_it(
    url: str, tmp_path: Path
) -> None:
    an_old_catalog(url)
    folder = tmp_path / "signals"
    folder.mkdir()
    killed = changing(url, folder)
    wait_for_one(folder)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert "run_id" not in columns_of(url, "current_outputs")
    assert versions_of(url) == [1]
    assert of_release(url, (*VERSIONS, ADDS)).current("a") == {"k": FULL, "l": FULL}
    assert versions_of(url) == [1, 2]


def test_a_change_that_fails_has_not_happened(url: str) -> None:
    def fail(connection: sa.Connection, schema: str | None) -> None:
        add_run_id(connection, schema)
        connection.exec_driver_sql("SELECT no_such_column")

    an_old_catalog(url)
    with pytest.raises(sa.exc.DBAPIError, match="no_such_column"):
        of_release(url, (*VERSIONS, replace(ADDS, change=fail))).current("a")
    assert "run_id" not in columns_of(url, "current_outputs")
    assert versions_of(url) == [1]


def test_a_new_catalog_is_whole_or_not_there(url: str) -> None:
    """Two who make it at once are tested with the catalog itself."""
    a_catalog(url).current("a")
    assert tables_of(url, "local") == {table.name for table in tables(None).metadata.sorted_tables}


@pytest.mark.postgres
def test_a_role_that_may_not_change_tables_uses_a_catalog_as_it_is_and_says_when_it_is_too_old(
    postgres_url: str,
) -> None:
    url, role = postgres_url, f"task_{threading.get_ident()}"
    an_old_catalog(url)
    mine = schema(url, "local")
    in_sql(url, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        in_sql(url, f"GRANT USAGE ON SCHEMA {mine} TO {role}")
        in_sql(url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {mine} TO {role}")
        as_role = sa.make_url(url).set(username=role, password="x").render_as_string(hide_password=False)
        with pytest.raises(
            InputError, match=r"may not change its tables .* run photo-popularity upgrade once"
        ):
            of_release(as_role, NEWER).current("a")
        of_release(url, NEWER).current("a")
        in_sql(url, f"GRANT SELECT ON {mine}.catalog_versions TO {role}")
        catalog = of_release(as_role, NEWER)
        catalog.set_current("b", {"k": Output("v")})
        assert set(catalog.current("b")) == {"k"}
    finally:
        in_sql(url, f"DROP OWNED BY {role}")
        in_sql(url, f"DROP ROLE {role}")


def test_whoever_changes_the_tables_adds_a_version() -> None:
    """A catalog that has all known versions is opened without a look at its tables."""
    ddl = "".join(
        str(sa.schema.CreateTable(table))
        + "".join(str(sa.schema.CreateIndex(index)) for index in sorted(table.indexes, key=str))
        for table in tables(None).metadata.sorted_tables
    )
    digest = hashlib.sha256(" ".join(ddl.split()).encode()).hexdigest()[:16]
    assert (max(one.number for one in VERSIONS), digest) == (1, "04d8387db72ef204")


def test_versions_are_numbered_in_their_order_and_end_with_what_is_written_down() -> None:
    numbers = [one.number for one in VERSIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert VERSIONS[0] is FIRST
