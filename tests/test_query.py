"""SQL over the current outputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from partitions.file_sets import PHOTO_FILES, by_folder
from partitions.reads import SameKey
from photo_popularity.domain.errors import InputError
from photo_popularity.query import TABLES, run_query
from resources.catalog_records import Output
from resources.environment import Environment
from resources.installation import Installation, install
from resources.output_parts import Result, file_part
from resources.pipeline import Declaration, Pipeline
from tests import small_site
from tests.services.s3 import S3Server


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    environment = small_site.an_environment(tmp_path)
    site = small_site.an_installation(environment)
    for day, views in (("2026-11-01", {"a": 3, "b": 1}), ("2026-11-02", {"a": 5})):
        small_site.commit(site, "behavior_signals", small_site.behavior(day, **views), partitions=[day])
    return environment


def test_an_asset_is_a_table_of_all_its_current_partitions(environment: Environment) -> None:
    answer = run_query(
        environment, "SELECT day, sum(views)::INT AS views FROM behavior_signals GROUP BY day ORDER BY day"
    )
    assert answer.to_pylist() == [
        {"day": date(2026, 11, 1), "views": 4},
        {"day": date(2026, 11, 2), "views": 5},
    ]


def test_only_the_current_version_of_a_partition_is_read(environment: Environment) -> None:
    site = small_site.an_installation(environment)
    newer = small_site.behavior("2026-11-02", a=50)
    small_site.commit(site, "behavior_signals", newer, partitions=["2026-11-02"], run_id="run-2")
    assert run_query(environment, "SELECT max(views) AS n FROM behavior_signals").to_pylist() == [{"n": 50}]


def test_a_withdrawn_partition_is_not_read(environment: Environment) -> None:
    small_site.an_installation(environment).catalog.withdraw("behavior_signals", ["2026-11-01"])
    assert run_query(environment, "SELECT photo_id FROM behavior_signals").to_pylist() == [{"photo_id": "a"}]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_can_be_asked_before_anything_was_made(tmp_path: Path, table: str) -> None:
    answer = run_query(small_site.an_environment(tmp_path), f"SELECT * FROM {table}")
    assert answer.num_rows == 0
    assert answer.num_columns >= 4


def test_an_empty_table_has_the_columns_and_types_of_a_full_one(
    tmp_path: Path, environment: Environment
) -> None:
    empty = run_query(small_site.an_environment(tmp_path / "empty"), "FROM behavior_signals")
    full = run_query(environment, "FROM behavior_signals")
    assert empty.schema.names == full.schema.names
    assert empty.schema.types == full.schema.types


def test_table_names_may_be_written_in_capitals(environment: Environment) -> None:
    answer = run_query(environment, "SELECT count(*) AS n FROM main.Behavior_Signals")
    assert answer.to_pylist() == [{"n": 3}]


def test_tables_of_files_and_empty_ones_join_by_name(environment: Environment) -> None:
    sql = "SELECT count(*) AS n FROM behavior_signals LEFT JOIN photo_metadata USING (photo_id)"
    assert run_query(environment, sql).to_pylist() == [{"n": 3}]
    sql = "SELECT count(*) AS n FROM photo_metadata RIGHT JOIN behavior_signals USING (day, photo_id)"
    assert run_query(environment, sql).to_pylist() == [{"n": 3}]


def test_show_tables_lists_every_table(environment: Environment) -> None:
    assert set(run_query(environment, "SHOW TABLES")["name"].to_pylist()) == set(TABLES)


def test_models_are_a_table_of_their_cards(environment: Environment) -> None:
    site = small_site.an_installation(environment)
    small_site.commit(site, "popularity_model", small_site.a_model(), partitions=["2026-11-02"])
    (row,) = run_query(
        environment, "SELECT *, card->>'$.trained_on.from' AS first FROM popularity_model"
    ).to_pylist()
    assert (row["day"], row["model_version"], row["examples"]) == (date(2026, 11, 2), "popularity-abc", 900)
    assert (row["trained_until"], row["first"]) == (date(2026, 11, 1), "2026-10-01")
    assert Path(row["path"]).exists()


def test_executions_and_current_outputs_are_tables(environment: Environment) -> None:
    sql = "SELECT DISTINCT launched_by, status FROM executions LEFT JOIN current_outputs USING (asset, partition)"
    assert run_query(environment, sql).to_pylist() == [{"launched_by": "ann", "status": "succeeded"}]


def test_moments_are_read_in_utc_wherever_the_reader_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    environment = small_site.an_environment(tmp_path)
    late = datetime(2026, 11, 1, 23, 30, tzinfo=UTC)
    small_site.commit(
        small_site.an_installation(environment),
        "photo_metadata",
        small_site.photo("a", "2026-11-01", uploaded_at=late),
        partitions=["2026-11-01"],
    )
    sql = "SELECT uploaded_at::DATE AS d, uploaded_at AS t FROM photo_metadata"
    assert run_query(environment, sql).to_pylist() == [{"d": date(2026, 11, 1), "t": late}]


@pytest.mark.parametrize("name", ["cat[1].jpg", "photo_id=b/it's *.jpg", "50% off?.jpg", "2026/ü.jpg"])
def test_names_of_files_are_taken_as_they_stand(tmp_path: Path, name: str) -> None:
    """Risk: DuckDB takes *, ? and [ for patterns and name=value in a path for a column."""
    environment = small_site.an_environment(tmp_path)
    row = small_site.score("a", 0.5).assign(file=name)
    small_site.commit(small_site.an_installation(environment), "cat_dog_scores", row, partitions=[name])
    answer = run_query(environment, "SELECT * FROM cat_dog_scores")
    assert answer["file"].to_pylist() == [name]
    assert answer["p_cat"].to_pylist() == [0.5]


@pytest.fixture
def folders(tmp_path: Path) -> Installation:
    """Scores whose files are in partitions by folder: three in one, one in another."""
    declaration = Declaration(
        "cat_dog_scores",
        ("cat_dog_scores",),
        {"photo_files": SameKey()},
        files=replace(PHOTO_FILES, grain=by_folder),
    )
    site = install(small_site.an_environment(tmp_path), Pipeline((declaration,)))
    score_files(site, {"cats [1]/a.jpg": 0.1, "cats [1]/b.jpg": 0.2, "cats [1]/c.jpg": 0.3, "d.jpg": 0.4})
    return site


def score_files(site: Installation, p_cats: Mapping[str, float], *, run_id: str = "run-1") -> None:
    """Make these the current scores of the files, in one commit."""
    site.catalog.set_current("photo_files", {key: Output(f"bytes for {p}") for key, p in p_cats.items()})
    keys = sorted({by_folder(file) for file in p_cats})
    step = site.storage.step(run_id, "cat_dog_scores", keys=keys, launched_by="ann")
    site.storage.begin(step, list(p_cats))
    parts = {}
    for key, p_cat in p_cats.items():
        row = {"p_cat": p_cat, "p_dog": 1 - p_cat, "p_neither": 0.0, "model_version": "m"}
        parts[key] = file_part("cat_dog_scores", key, Result(row), of_the_name=False)
    site.storage.commit({"cat_dog_scores": parts}, step, seconds=dict.fromkeys(p_cats, 0.0))
    site.storage.forget(step)


def queried(site: Installation) -> list[tuple[str, float]]:
    rows = run_query(site.environment, "SELECT file, p_cat FROM cat_dog_scores ORDER BY ALL").to_pylist()
    return [(row["file"], row["p_cat"]) for row in rows]


def test_of_files_that_share_a_stored_file_each_has_its_rows_once(folders: Installation) -> None:
    assert queried(folders) == [
        ("cats [1]/a.jpg", 0.1),
        ("cats [1]/b.jpg", 0.2),
        ("cats [1]/c.jpg", 0.3),
        ("d.jpg", 0.4),
    ]
    stored = run_query(folders.environment, "SELECT path, count(*) AS n FROM current_outputs GROUP BY path")
    assert sorted(stored["n"].to_pylist()) == [1, 3]


def test_of_a_shared_file_only_the_rows_that_are_current_are_read(folders: Installation) -> None:
    """Risk: the stored file still holds what was made of a file before, or of one that is gone."""
    score_files(folders, {"cats [1]/a.jpg": 0.9}, run_id="run-2")
    folders.catalog.withdraw("cat_dog_scores", ["cats [1]/c.jpg"])
    assert queried(folders) == [("cats [1]/a.jpg", 0.9), ("cats [1]/b.jpg", 0.2), ("d.jpg", 0.4)]
    # and once more together, so that a third stored file holds some of the rows
    score_files(folders, {"cats [1]/a.jpg": 0.9, "cats [1]/b.jpg": 0.8}, run_id="run-3")
    assert queried(folders) == [("cats [1]/a.jpg", 0.9), ("cats [1]/b.jpg", 0.8), ("d.jpg", 0.4)]


def test_a_shared_file_of_which_one_file_is_left_tells_of_that_one_alone(folders: Installation) -> None:
    folders.catalog.withdraw("cat_dog_scores", ["cats [1]/a.jpg", "cats [1]/c.jpg", "d.jpg"])
    assert queried(folders) == [("cats [1]/b.jpg", 0.2)]


def test_files_moved_out_of_a_shared_file_are_read_under_their_new_names(folders: Installation) -> None:
    moved = {"dogs/a.jpg": "bytes for 0.1", "dogs/e.jpg": "bytes for 0.4"}
    folders.catalog.set_current("photo_files", {key: Output(version) for key, version in moved.items()})
    step = folders.storage.step(
        "run-2", "cat_dog_scores", keys=["dogs"], launched_by="ann", only_out_of_date=True
    )
    folders.storage.forget(step)
    assert step.partitions == []
    folders.catalog.withdraw("cat_dog_scores", ["cats [1]/a.jpg", "d.jpg"])
    assert queried(folders) == [
        ("cats [1]/b.jpg", 0.2),
        ("cats [1]/c.jpg", 0.3),
        ("dogs/a.jpg", 0.1),
        ("dogs/e.jpg", 0.4),
    ]


def test_staging_reads_what_production_has_made(tmp_path: Path) -> None:
    production = small_site.an_environment(tmp_path, name="production")
    site = small_site.an_installation(production)
    small_site.commit(
        site, "behavior_signals", small_site.behavior("2026-11-01", a=3), partitions=["2026-11-01"]
    )
    staging = small_site.an_environment(tmp_path, name="staging")
    own = small_site.an_installation(staging)
    small_site.commit(
        own, "behavior_signals", small_site.behavior("2026-11-02", a=7), partitions=["2026-11-02"]
    )
    sql = "SELECT views FROM behavior_signals ORDER BY day"
    assert run_query(staging, sql)["views"].to_pylist() == [3, 7]
    assert run_query(production, sql)["views"].to_pylist() == [3]


@pytest.mark.s3
def test_files_in_an_object_store_are_read_in_place_and_no_others(
    tmp_path: Path, s3_bucket: str, s3_server: S3Server
) -> None:
    environment = small_site.an_environment(
        tmp_path, storage=f"s3://{s3_bucket}/data", s3_endpoint=s3_server.endpoint_url
    )
    site = small_site.an_installation(environment)
    small_site.commit(
        site, "behavior_signals", small_site.behavior("2026-11-01", a=3), partitions=["2026-11-01"]
    )
    small_site.commit(site, "popularity_model", small_site.a_model(), partitions=["2026-11-01"])
    answer = run_query(
        environment, "SELECT views, examples FROM behavior_signals JOIN popularity_model USING (day)"
    )
    assert answer.to_pylist() == [{"views": 3, "examples": 900}]
    s3_server.client().put_object(Bucket=s3_bucket, Key="secret.txt", Body=b"secret")
    with pytest.raises(InputError, match=r"secret\.txt"):
        run_query(environment, f"SELECT * FROM read_text('s3://{s3_bucket}/secret.txt'), behavior_signals")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "COPY behavior_signals TO '{out}'",
        "EXPLAIN ANALYZE COPY behavior_signals TO '{out}'",
        "ATTACH '{out}'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "CREATE TABLE t AS SELECT 1",
        "DELETE FROM behavior_signals",
        "SELECT 1; SELECT 2",
        "",
    ],
)
def test_a_query_reads_nothing_else_and_writes_nothing(
    environment: Environment, tmp_path: Path, sql: str
) -> None:
    with pytest.raises(InputError):
        run_query(environment, sql.format(out=tmp_path / "stolen"))
    assert not (tmp_path / "stolen").exists()


def test_the_file_of_an_output_cannot_be_overwritten(environment: Environment) -> None:
    """Risk: files that may be read may also be written as far as DuckDB goes, and EXPLAIN ANALYZE carries COPY out."""
    (path, *_) = run_query(environment, "SELECT path FROM current_outputs")["path"].to_pylist()
    before = Path(path).read_bytes()
    for statement in ("COPY", "EXPLAIN ANALYZE COPY"):
        with pytest.raises(InputError):
            run_query(
                environment, f"{statement} (SELECT 1 FROM behavior_signals) TO '{path}' (USE_TMP_FILE false)"
            )
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        (
            "SELECT * FROM behaviour",
            r"Table with name behaviour does not exist; the tables are behavior_signals, .*",
        ),
        ("SELEC 1", r'syntax error at or near "SELEC"; correct the SQL'),
        ("SELECT wiews FROM behavior_signals", r'"wiews" not found .*"views"'),
        ("COPY behavior_signals TO 'x'", r"only reading is possible.*write one SELECT"),
        ("PIVOT behavior_signals ON photo_id", r"PIVOT must list its values"),
    ],
)
def test_an_error_is_one_sentence_with_the_next_step(environment: Environment, sql: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        run_query(environment, sql)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_named(environment: Environment) -> None:
    (path, *_) = run_query(environment, "SELECT path FROM current_outputs ORDER BY path")["path"].to_pylist()
    Path(path).unlink()
    with pytest.raises(InputError, match=Path(path).name):
        run_query(environment, "FROM behavior_signals")


def test_two_columns_of_one_name_stay_apart(environment: Environment) -> None:
    assert run_query(environment, "SELECT 1 AS a, 2 AS a").to_pylist() == [{"a": 1, "a_2": 2}]


def test_a_question_does_not_wait_for_dagster() -> None:
    code = "import sys, photo_popularity.query, photo_popularity.history; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
