"""Staging reads production and never writes there; and how a site is put on a server."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.end_to_end.command_line import CommandLine

pytestmark = pytest.mark.end_to_end
VERSIONS = "SELECT asset, partition, content_version FROM current_outputs ORDER BY asset, partition"


def succeeded(cli: CommandLine, *arguments: str, **variables: str) -> str:
    ran = cli(*arguments, **variables)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_staging_reuses_what_production_made_and_never_writes_there(small_site: Path, tmp_path: Path) -> None:
    cli = CommandLine(tmp_path / "home")
    site = tmp_path / "site"
    site.symlink_to(small_site)
    production = {"PHOTO_POPULARITY_ENV": "production", "PHOTO_POPULARITY_VISITOR_SALT": "secret"}
    staging = {**production, "PHOTO_POPULARITY_ENV": "staging", "PHOTO_POPULARITY_USER": "ann"}
    succeeded(cli, "run", "--site", str(site), **production)
    before = fingerprint(cli.home / "storage" / "production")

    assert "nothing was recomputed" in succeeded(cli, "run", **staging)
    assert cli.query("SELECT count(*) AS photos FROM photo_content", **staging)[0]["photos"] > 20

    retrained = ["train-classifier", str(small_site / "classifier_training"), "--seed", "3"]
    succeeded(cli, *retrained, "--output", str(cli.home / "other.skops"), **staging)
    succeeded(cli, "run", **staging)
    made = {row["asset"] for row in cli.history(**staging)}
    assert "cat_dog_scores" in made
    assert not made & {"photo_content", "log_signals", "behavior_signals", "photo_metadata"}
    assert fingerprint(cli.home / "storage" / "production") == before


def fingerprint(folder: Path) -> dict[str, str]:
    """The bytes of every file, and the rows of the catalog: reading may touch its write-ahead log, nothing else."""
    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("catalog.sqlite")
    }
    with sqlite3.connect(folder / "catalog.sqlite") as catalog:
        for table in ("current_outputs", "executions"):
            rows = sorted(map(repr, catalog.execute(f"SELECT * FROM {table}")))
            files[table] = hashlib.sha256("".join(rows).encode()).hexdigest()
    return files


def copy_database(sqlite_file: Path, url: str) -> None:
    """The site's tables on PostgreSQL, with times as timestamps with zone."""
    engine = sa.create_engine(url)
    with sqlite3.connect(sqlite_file) as source, engine.begin() as target:
        target.execute(
            sa.text("CREATE TABLE users (owner_id text PRIMARY KEY, joined_at timestamptz NOT NULL)")
        )
        target.execute(
            sa.text(
                "CREATE TABLE photos (photo_id text PRIMARY KEY, owner_id text NOT NULL, title text, album text,"
                " file_name text NOT NULL, width integer, height integer, uploaded_at timestamptz NOT NULL,"
                " updated_at timestamptz NOT NULL, deleted_at timestamptz)"
            )
        )
        target.execute(sa.text("SET LOCAL timezone = 'UTC'"))
        for table in ("users", "photos"):
            copy_rows(source, target, table)
    engine.dispose()


def copy_rows(source: sqlite3.Connection, target: sa.Connection, table: str) -> None:
    cursor = source.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.description]
    rows: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in cursor]
    placeholders = ", ".join(f":{name}" for name in names)
    target.execute(sa.text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({placeholders})"), rows)
