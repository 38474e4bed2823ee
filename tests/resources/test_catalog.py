"""The catalog contract, on SQLite and on a real PostgreSQL: what is current, what was executed, and who may write."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from resources.catalog import KILLED, TABLES_IN_A_JOIN, Catalog, PublishedOutputs
from resources.catalog_records import (
    QUARANTINED,
    Execution,
    Expected,
    Finished,
    Output,
    Remembered,
    made_from,
)

NOW = datetime(2026, 11, 18, 7, 0, tzinfo=UTC)
FULL = Output(
    content_version="abc",
    path="photo_content/cat%2C a.jpg/abc.parquet",
    rows=3,
    bytes=2**40,
    inputs={"photo_files": "123"},
    fingerprint="f",
    index=("2026-11-17", "猫.jpg"),
    detail={"lines": 5, "last": "x", "nested": [1, None]},
    environment="production",
    run_id="run-1",
)


def execution(asset: str = "a", partition: str = "k", **fields: object) -> Execution:
    given = {
        "status": "started",
        "run_id": "run-1",
        "environment": "local",
        "launched_by": "ann",
        "started_at": NOW,
    }
    return Execution(asset=asset, partition=partition, **{**given, **fields})  # type: ignore[arg-type]


def finished(execution: Execution, output: Output = FULL) -> Finished:
    return Finished(execution, output, made_from(output.fingerprint, output.inputs))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/100% of ours/catalog.sqlite"
    # as people write it, without the driver
    return str(request.getfixturevalue("postgres_url")).replace("postgresql+psycopg2", "postgresql")


def schema(url: str, label: str) -> str | None:
    return None if url.startswith("sqlite") else f"photo_popularity_{label}"


def place(url: str, label: str) -> str:
    return url.replace("catalog.sqlite", f"{label}/catalog.sqlite")


def a_catalog(url: str, label: str = "local", *, published: PublishedOutputs | None = None) -> Catalog:
    return Catalog(place(url, label), schema=schema(url, label), published=published)


def published_by(url: str, label: str) -> PublishedOutputs:
    return PublishedOutputs(place(url, label), schema=schema(url, label))


def test_an_output_is_kept_whole_and_the_last_one_is_current(url: str) -> None:
    catalog = a_catalog(url)
    catalog.set_current("a", {"k": FULL._replace(content_version="old"), "l": FULL})
    catalog.set_current("a", {"k": FULL})
    catalog.set_current("b", {"k": FULL._replace(rows=9)})
    assert catalog.current("a") == {"k": FULL, "l": FULL}
    assert a_catalog(url).current("a") == {"k": FULL, "l": FULL}


def test_ten_thousand_outputs_are_kept_at_once(url: str) -> None:
    catalog = a_catalog(url)
    catalog.set_current("a", {f"file {number}.jpg": FULL for number in range(10_000)})
    assert len(catalog.current("a")) == 10_000


def test_what_is_withdrawn_is_gone_and_its_history_stays(url: str) -> None:
    catalog, started = a_catalog(url), execution()
    catalog.begin([started])
    catalog.commit({"a": {"k": finished(started)}})
    catalog.withdraw("a", ["k", "never there"])
    assert catalog.current("a") == {}
    [left] = catalog.executions()
    assert (left.status, left.content_version) == ("succeeded", "abc")
    catalog.set_current("a", {"k": FULL})
    assert catalog.current("a") == {"k": FULL}


def test_a_commit_makes_the_output_current_and_closes_its_execution(url: str) -> None:
    catalog, started = a_catalog(url), execution(parameters={"salt": "1"}, log="/logs/run-1.log")
    catalog.begin([started])
    assert catalog.executions() == [started]
    catalog.commit({"a": {"k": finished(replace(started, seconds=1.5))}})
    told: dict[str, Any] = {"rows": 3, "bytes": 2**40, "content_version": "abc", "inputs": FULL.inputs}
    assert catalog.executions() == [replace(started, status="succeeded", seconds=1.5, **told)]
    assert catalog.current("a") == {"k": FULL}


def test_a_failure_keeps_its_reason_and_leaves_the_old_output_current(url: str) -> None:
    catalog, started = a_catalog(url), execution()
    catalog.set_current("a", {"k": FULL})
    catalog.begin([started])
    # names of files that are no text come with the reason
    catalog.fail([started], "nul \0 and \udcff")
    [failed] = catalog.executions()
    assert (failed.status, failed.error) == ("failed", "nul \\x00 and \\udcff")
    assert failed.seconds is not None
    assert catalog.current("a") == {"k": FULL}


def test_executions_come_newest_first_whatever_zone_they_were_written_in(url: str) -> None:
    catalog = a_catalog(url)
    early = execution(
        "a", "1", started_at=(NOW - timedelta(minutes=1)).astimezone(timezone(timedelta(hours=9)))
    )
    late = execution("b", "2", started_at=NOW, run_id="run-2")
    catalog.begin([early, late])
    assert [e.asset for e in catalog.executions()] == ["b", "a"]
    assert [e.asset for e in catalog.executions(limit=1)] == ["b"]
    assert [e.asset for e in catalog.executions(assets=["a"])] == ["a"]
    assert [e.asset for e in catalog.executions(run_id="run-2")] == ["b"]
    assert catalog.executions(assets=["a"])[0].started_at == early.started_at


def test_nothing_to_do_is_no_error(url: str) -> None:
    catalog = a_catalog(url)
    catalog.begin([])
    catalog.commit({"a": {}})
    catalog.fail([], "why")
    catalog.withdraw("a", [])
    assert catalog.current("a") == {}


WRITER = """
import sys
from resources.catalog import Catalog
from resources.catalog_records import Output
url, schema, me = sys.argv[1:]
catalog = Catalog(url, schema=schema or None)
for turn in range(20):
    keys = [f"shared {n}" for n in range(20)] + [f"{me} {turn}"]
    catalog.set_current("a", {key: Output(f"{me} {turn}") for key in (keys if me == "one" else reversed(keys))})
"""


def test_processes_that_start_and_write_at_once_lose_nothing(url: str) -> None:
    command = [sys.executable, "-c", WRITER, place(url, "local"), schema(url, "local") or ""]
    writers = [
        subprocess.Popen([*command, name], env={**os.environ, "PYTHONPATH": "."}, stderr=subprocess.PIPE)
        for name in ("one", "two", "three")
    ]
    errors = [writer.communicate(timeout=60)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0], errors
    current = a_catalog(url).current("a")
    assert len(current) == 20 + 3 * 20
    assert len({current[f"shared {n}"].content_version for n in range(20)}) == 1


@pytest.mark.parametrize("label", ["one", "two", "three", "four", "five"])
def test_many_who_open_a_new_catalog_at_once_all_get_it(url: str, label: str) -> None:
    """PostgreSQL's "if not exists" fails when two ask at once."""
    together = threading.Barrier(12)
    found: list[dict[str, Output]] = []

    def look() -> None:
        catalog = a_catalog(url, label)
        together.wait()
        found.append(catalog.current("a"))

    threads = [threading.Thread(target=look) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{}] * 12


def test_staging_sees_what_production_has_made_until_it_makes_its_own(url: str) -> None:
    production = a_catalog(url, "production")
    production.set_current("a", {"k": FULL, "l": FULL})
    staging = a_catalog(url, "staging_ann", published=published_by(url, "production"))
    own = FULL._replace(content_version="own", environment="staging-ann")
    staging.set_current("a", {"k": own})
    assert staging.current("a") == {"k": own, "l": FULL}
    production.set_current("a", {"m": FULL})
    assert sorted(staging.current("a")) == ["k", "l", "m"]


def test_staging_never_changes_production(url: str) -> None:
    production = a_catalog(url, "production")
    production.set_current("a", {"k": FULL})
    staging = a_catalog(url, "staging_ann", published=published_by(url, "production"))
    staging.withdraw("a", ["k"])
    assert staging.current("a") == {}
    staging.commit({"a": {"l": finished(execution())}})
    assert production.current("a") == {"k": FULL}
    assert production.executions() == []


def test_a_production_that_does_not_exist_yet_is_an_empty_one_and_is_not_made(
    url: str, tmp_path: Path
) -> None:
    staging = a_catalog(url, "staging_ann", published=published_by(url, "production"))
    assert staging.current("a") == {}
    assert not list(tmp_path.rglob("production"))


def test_the_database_itself_refuses_to_write_what_is_published(url: str) -> None:
    import sqlalchemy as sa

    a_catalog(url, "production").set_current("a", {"k": FULL})
    engine = published_by(url, "production")._engine
    table = "photo_popularity_production.current_outputs" if schema(url, "production") else "current_outputs"
    with pytest.raises(sa.exc.DBAPIError, match=r"read-only|readonly"), engine.begin() as connection:
        connection.execute(sa.text(f"delete from {table}"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
def test_a_user_who_may_only_read_the_folder_reads_production(tmp_path: Path) -> None:
    """In write-ahead mode SQLite makes files beside the database even to read it."""
    folder = tmp_path / "production"
    catalog = Catalog(f"sqlite:///{folder}/catalog.sqlite")
    catalog.set_current("a", {"k": FULL})
    for place_ in [folder, tmp_path, *tmp_path.parents[:3]]:
        place_.chmod(place_.stat().st_mode | 0o055)

    def read_as_nobody() -> list[str]:
        os.seteuid(65534)
        try:
            return sorted(PublishedOutputs(f"sqlite:///{folder}/catalog.sqlite").current("a"))
        finally:
            os.seteuid(0)

    assert read_as_nobody() == ["k"]
    catalog._engine.dispose()
    assert [path.name for path in folder.iterdir()] == ["catalog.sqlite"]
    assert read_as_nobody() == ["k"]


def test_a_check_refuses_what_it_has_looked_at_and_nothing_newer(url: str) -> None:
    catalog = Catalog(url, schema=schema(url, "local"))
    catalog.set_current("a", {"kept": FULL, "newer": FULL})
    looked_at = catalog.current("a")
    catalog.set_current("a", {"newer": FULL._replace(run_id="run-2", content_version="def")})
    catalog.reject("a", looked_at, "the check x")
    assert {key: output.rejected for key, output in catalog.current("a").items()} == {
        "kept": "the check x",
        "newer": "",
    }
    assert catalog.current("a")["kept"].detail["nested"] == [1, None]


def test_what_was_made_from_the_same_before_is_found_again_until_a_check_refuses_it(url: str) -> None:
    catalog = Catalog(url, schema=schema(url, "local"))
    versions = [FULL._replace(content_version=v, inputs={"photo_files": v}) for v in ("one", "two")]
    for output in versions:
        run = execution(run_id=output.content_version)
        catalog.begin([run])
        catalog.commit({"a": {"k": finished(run, output)}})
    wanted = {output.content_version: made_from(output.fingerprint, output.inputs) for output in versions}
    one, two = wanted["one"], wanted["two"]
    remembered = {one: Remembered("k", versions[0]), two: Remembered("k", versions[1])}
    assert catalog.made_before("a", [one]) == {one: remembered[one]}
    assert catalog.made_before("a", {one, two, made_from("other code", FULL.inputs)}) == remembered
    assert catalog.made_before("a", [made_from("other code", FULL.inputs)]) == {}
    assert catalog.made_before("b", [one]) == {}
    assert catalog.made_before("a", []) == {}
    catalog.reject("a", catalog.current("a"), "the check x")
    assert catalog.made_before("a", [one, two]) == {one: remembered[one]}


def test_what_was_made_from_the_same_for_another_partition_is_found_and_the_last_one_counts(url: str) -> None:
    catalog = Catalog(url, schema=schema(url, "local"))
    origin = made_from(FULL.fingerprint, FULL.inputs)
    for partition in ("k", "l"):
        output = FULL._replace(path=f"a/{partition}/abc.parquet")
        catalog.commit({"a": {partition: finished(execution(partition=partition), output)}})
        assert catalog.made_before("a", [origin]) == {origin: Remembered(partition, output)}
    catalog.withdraw("a", ["k", "l"])
    assert catalog.made_before("a", [origin]).keys() == {origin}


def test_partitions_that_were_made_from_the_same_in_one_commit_are_one_memory(url: str) -> None:
    catalog = Catalog(url, schema=schema(url, "local"))
    both = {partition: finished(execution(partition=partition)) for partition in ("k", "l")}
    catalog.commit({"a": both})
    origin = made_from(FULL.fingerprint, FULL.inputs)
    assert catalog.current("a") == {"k": FULL, "l": FULL}
    assert catalog.made_before("a", [origin])[origin].output == FULL


def test_that_nothing_could_be_made_is_remembered_too(url: str) -> None:
    catalog, started = Catalog(url, schema=schema(url, "local")), execution()
    refused = FULL._replace(detail={QUARANTINED: "it is broken"}, path="")
    catalog.begin([started])
    catalog.commit({"a": {"k": finished(started, refused)}})
    origin = made_from(FULL.fingerprint, FULL.inputs)
    assert catalog.made_before("a", [origin]) == {origin: Remembered("k", refused)}
    [ended] = catalog.executions()
    assert (ended.status, ended.error) == ("quarantined", "it is broken")


def test_thousands_are_looked_up_at_once(url: str) -> None:
    catalog = Catalog(url, schema=schema(url, "local"))
    origins = [f"origin {number}" for number in range(2_500)]
    made = {f"{o}.jpg": Finished(execution(partition=f"{o}.jpg"), FULL, o) for o in origins}
    catalog.commit({"a": made})
    assert catalog.made_before("a", [*origins, "another"]).keys() == set(origins)


def test_staging_remembers_what_production_has_made_until_it_makes_its_own(url: str) -> None:
    origin = made_from(FULL.fingerprint, FULL.inputs)
    production = a_catalog(url, "production")
    staging = a_catalog(url, "staging_ann", published=published_by(url, "production"))
    assert staging.made_before("a", [origin]) == {}
    production.commit({"a": {"k": finished(execution())}})
    assert staging.made_before("a", [origin]) == {origin: Remembered("k", FULL)}
    own = FULL._replace(environment="staging-ann")
    staging.commit({"a": {"l": finished(execution(partition="l"), own)}})
    assert staging.made_before("a", [origin]) == {origin: Remembered("l", own)}
    assert production.made_before("a", [origin]) == {origin: Remembered("k", FULL)}


def test_an_execution_that_never_ended_is_put_on_record_when_its_partition_is_begun_again(url: str) -> None:
    catalog = Catalog(url, schema=schema(url, "local"))
    killed, other, ended = execution(), execution(partition="other"), execution(partition="ended")
    catalog.begin([killed, other, ended])
    catalog.fail([ended], "the disk is full")
    catalog.begin([execution(run_id="run-2"), execution(partition="ended", run_id="run-2")])
    told = {(e.partition, e.run_id): (e.status, e.error) for e in catalog.executions()}
    assert told == {
        ("k", "run-1"): ("failed", KILLED),
        ("other", "run-1"): ("started", None),
        ("ended", "run-1"): ("failed", "the disk is full"),
        ("k", "run-2"): ("started", None),
        ("ended", "run-2"): ("started", None),
    }
    # it was not killed after all, only slow
    catalog.commit({"a": {"k": finished(killed)}})
    assert [e.status for e in catalog.executions(run_id="run-1") if e.partition == "k"] == ["succeeded"]


# questions that are answered in the database, as nobody wants to read a million outputs for them

TEXTS = {key: Output(f"version {key}") for key in ("a", "b", "c", "d", "e", "f", "g")}
EXPECTED = [Expected("counts", "f1", ["texts"]), Expected("long", "f2", ["counts", "texts"])]


def counts_of(key: str) -> Output:
    return Output(f"words {key}", inputs={"texts": f"version {key}"}, fingerprint="f1")


def long_of(key: str) -> Output:
    inputs = {"counts": f"words {key}", "texts": f"version {key}"}
    return Output("yes", inputs=inputs, fingerprint="f2")


@pytest.fixture
def settled(url: str) -> Catalog:
    """Two steps over seven texts, everything made."""
    catalog = a_catalog(url)
    catalog.set_current("texts", TEXTS)
    catalog.set_current("counts", {key: counts_of(key) for key in TEXTS})
    catalog.set_current("long", {key: long_of(key) for key in TEXTS})
    return catalog


def test_what_is_out_of_date_is_suspected_and_nothing_else(settled: Catalog) -> None:
    assert settled.may_be_out_of_date("texts", EXPECTED) == set()
    settled.set_current("texts", {"a": Output("another version"), "new": Output("version new")})
    settled.set_current("counts", {"b": counts_of("b")._replace(fingerprint="f0")})
    settled.set_current(
        "counts", {"c": Output("other words", inputs={"texts": "version c"}, fingerprint="f1")}
    )
    settled.withdraw("long", ["d"])
    settled.reject("long", {"e": long_of("e")}, "too long")
    settled.withdraw("texts", ["f"])
    assert settled.may_be_out_of_date("texts", EXPECTED) == {"a", "new", "b", "c", "d", "e"}
    assert settled.may_be_out_of_date("texts", EXPECTED[:1]) == {"a", "new", "b"}


def test_an_input_that_was_never_made_is_one_without_a_version(settled: Catalog) -> None:
    settled.withdraw("counts", ["a", "b"])
    without = long_of("b")._replace(inputs={"counts": "", "texts": "version b"})
    settled.set_current("long", {"b": without})
    assert settled.may_be_out_of_date("texts", EXPECTED[1:]) == {"a"}


def test_what_builds_on_another_catalog_cannot_be_told_by_one_database(url: str) -> None:
    staging = a_catalog(url, "staging", published=published_by(url, "local"))
    assert staging.may_be_out_of_date("texts", EXPECTED) is None


@pytest.mark.parametrize("label", ["local", "staging"])
def test_outputs_are_told_whose_counterpart_in_the_source_is_gone(
    settled: Catalog, url: str, label: str
) -> None:
    published = published_by(url, "local") if label == "staging" else None
    catalog = settled if label == "local" else a_catalog(url, label, published=published)
    assert catalog.without_source("counts", "texts") == []
    catalog.withdraw("texts", ["b", "a", "c"])
    catalog.withdraw("counts", ["c"])
    assert catalog.without_source("counts", "texts") == ["a", "b"]
    assert catalog.partitions("counts") == ["a", "b", "d", "e", "f", "g"]
    catalog.set_current("counts", {"d": counts_of("d")._replace(fingerprint="f0")})
    assert catalog.made_by_others("counts", "f1") == (1, 6)


def test_the_details_of_what_is_current_are_read_alone(url: str) -> None:
    catalog = a_catalog(url)
    catalog.set_current(
        "texts", {"a": Output("1", detail={"stamp": "7", "size": 3}), "b": Output("1"), "c": FULL}
    )
    catalog.withdraw("texts", ["c"])
    expected = {"a": '{"size": 3, "stamp": "7"}', "b": "{}"}
    assert catalog.details("texts") == expected
    staging = a_catalog(url, "staging", published=published_by(url, "local"))
    assert staging.details("texts") == expected


def test_more_assets_than_a_database_can_join_are_looked_at_one_by_one(url: str) -> None:
    catalog = a_catalog(url)
    catalog.set_current("texts", TEXTS)
    many = [Expected(f"asset {number}", "f", ["texts"]) for number in range(TABLES_IN_A_JOIN + 1)]
    assert catalog.may_be_out_of_date("texts", many) is None
    assert catalog.may_be_out_of_date("texts", many[:TABLES_IN_A_JOIN]) == TEXTS.keys()


@pytest.mark.parametrize("label", ["local", "staging"])
def test_outputs_are_read_one_by_one_too(url: str, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.catalog.ROWS_AT_ONCE", 3)
    outputs = {f"{number}.txt": FULL._replace(rows=number) for number in range(10)}
    a_catalog(url).set_current("a", outputs)
    a_catalog(url).withdraw("a", ["4.txt"])
    catalog = a_catalog(url, label, published=published_by(url, "local") if label == "staging" else None)
    assert dict(catalog.each("a")) == {key: output for key, output in outputs.items() if key != "4.txt"}
