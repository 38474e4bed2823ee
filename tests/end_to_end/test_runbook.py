"""The runbook, as somebody follows it at night: its commands as they stand there, on a site that has lost something."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from PIL import Image
from s3fs import S3FileSystem

from photo_popularity.catalog_tables import ASSETS
from resources.environment import Environment
from resources.identity import role_of
from resources.outputs import read_outputs
from resources.settings import Settings
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.test_environments import VERSIONS
from tests.services.identities import drop_roles
from tests.services.one_machine import CHECKOUT, DEPLOYMENT, INSTALLED_AT
from tests.services.postgres import PostgresServer, owned_database, running_server
from tests.services.s3 import S3Server

pytestmark = [pytest.mark.end_to_end, pytest.mark.postgres]

RUNBOOK = CHECKOUT / "docs" / "runbook.md"
ENVIRONMENT_FILE = "/etc/photo-popularity/environment"
LABEL = "production"
NIGHTS = ["2026-10-23", "2026-10-24"]
NOTHING_TO_DO = "nothing was recomputed"


def blocks(heading: str) -> list[str]:
    """The commands below a heading of the runbook."""
    [section] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.M | re.S)
    found = re.findall(r"```console\n(.*?)```", section, re.S)
    assert found, f"{heading}: no commands"
    return found


def first_block() -> str:
    """The commands that stand before all others."""
    first: str = re.findall(r"```console\n(.*?)```", RUNBOOK.read_text(), re.S)[0]
    return first


@dataclass
class Site:
    """A production that has run two nights, and its variables."""

    folder: Path
    variables: dict[str, str]
    on_a_server: dict[str, str]
    """What has Dagster keep its records in PostgreSQL too, which is slower: most of this works with a file."""

    def follow(self, commands: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run commands of the runbook in its shell."""
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PHOTO_POPULARITY_", "DAGSTER_", "AWS_"))
        }
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env={**inherited, "PATH": path, **self.variables, **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def succeed(self, commands: str, **variables: str) -> str:
        done = self.follow(commands, **variables)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def query(self, sql: str) -> list[dict[str, Any]]:
        return CommandLine(self.folder / "home").query(sql, **self.variables)

    def versions(self) -> dict[tuple[str, str], str]:
        return {(row["asset"], row["partition"]): row["content_version"] for row in self.query(VERSIONS)}

    def lose(self, *assets: str) -> None:
        """Delete all files of these assets."""
        for asset in assets:
            shutil.rmtree(self.folder / "home" / "storage" / LABEL / asset)

    def sql(self, statement: str) -> None:
        engine = sa.create_engine(self.variables["PHOTO_POPULARITY_CATALOG"])
        with engine.begin() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()

    def production(self, catalog: str | None = None) -> Environment:
        """The environment, with this address of its catalog."""
        settings = Settings(catalog=catalog or self.variables["PHOTO_POPULARITY_CATALOG"])
        return Environment(LABEL, "ops", self.folder / "home", settings)

    def told(self, asset: str) -> set[str]:
        """The partitions that Dagster shows as made."""
        before = dict(os.environ)
        os.environ.update(self.variables | self.on_a_server)
        try:
            with dg.DagsterInstance.get() as instance:
                return set(instance.get_materialized_partitions(dg.AssetKey(asset)))
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.fixture(scope="module")
def site(
    small_site: Path,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("runbook")
    with owned_database(postgres_server) as catalog, owned_database(postgres_server) as dagster:
        photos = shutil.copytree(small_site / "photos", folder / "photos")
        variables = {
            "PHOTO_POPULARITY_ENV": LABEL,
            "PHOTO_POPULARITY_HOME": str(folder / "home"),
            "PHOTO_POPULARITY_CATALOG": catalog,
            "PHOTO_POPULARITY_PHOTOS": str(photos),
            "PHOTO_POPULARITY_LOGS": str(small_site / "logs"),
            "PHOTO_POPULARITY_DATABASE": f"sqlite:///{small_site / 'site.sqlite'}",
            "PHOTO_POPULARITY_VISITOR_SALT": "a secret of this test & more",
        }
        (folder / "dagster").mkdir()
        shutil.copy(DEPLOYMENT / "dagster.yaml", folder / "dagster")
        on_a_server = {"DAGSTER_HOME": str(folder / "dagster"), "DAGSTER_POSTGRES_URL": dagster}
        site = Site(folder, variables, on_a_server)
        [run] = blocks("Run the night now")
        site.succeed(run.replace("run\n", f"run --until {NIGHTS[0]}\n"))
        site.succeed(run)
        yield site


def test_the_first_lines_give_the_shell_what_the_services_have(site: Site, tmp_path: Path) -> None:
    lines = [f"{name}={value}" for name, value in site.variables.items()]
    (tmp_path / "environment").write_text("\n".join(["# a comment", "", *lines]) + "\n")
    commands = first_block()
    for there, here in ((ENVIRONMENT_FILE, tmp_path / "environment"), (INSTALLED_AT, tmp_path)):
        assert there in commands
        commands = commands.replace(there, str(here))
    bare = dict.fromkeys(site.variables, "")
    said = site.succeed(
        commands + '\necho "$PHOTO_POPULARITY_CATALOG|$PHOTO_POPULARITY_VISITOR_SALT"', **bare
    )
    assert said.strip() == f"{site.variables['PHOTO_POPULARITY_CATALOG']}|a secret of this test & more"


def test_what_failed_is_read_without_dagster(site: Site) -> None:
    history, log = (site.succeed(block) for block in blocks("What failed last night?"))
    assert re.search(r"^\d{4}-\d\d-\d\d .* run [0-9a-f-]{36}  production, by ", history, re.M)
    assert "succeeded" in history
    assert "problem" in history, "photos that cannot be read, with the reason"
    assert "reason" in history, "lines that cannot be read, by reason"
    assert re.search(r"^\d{4}-\d\d-\d\dT\S+Z (INFO|WARNING|ERROR) ", log, re.M)


def test_a_night_that_failed_is_told_with_its_error_and_made_once_its_source_is_mended(site: Site) -> None:
    """The classifier's file has been cut short, and a photo has come that nobody has scored."""
    classifier = Path(tomllib.loads(site.production().settings_file.read_text())["classifier"])
    whole, name = classifier.read_bytes(), "new.png"
    classifier.write_bytes(whole[:10_000])
    Image.new("RGB", (40, 30), "red").save(Path(site.variables["PHOTO_POPULARITY_PHOTOS"]) / name)
    before, [run] = site.versions(), blocks("Run the night now")
    assert site.follow(run).returncode == 1

    history, log = (site.succeed(block) for block in blocks("What failed last night?"))
    error = f"{classifier}: is not a readable .skops model"
    newest, _, earlier = history.partition("\n\n")
    assert re.search(r"^  cat_dog_scores +failed ", newest, re.M)
    assert error in newest
    [its_log] = re.findall(r"^ +log: (\S+)$", newest, re.M)
    assert re.search(rf"^cat_dog_scores +\S+ +{re.escape(error)}.* {re.escape(its_log)}", history, re.M)
    assert error in log
    assert Path(its_log).read_text().endswith(log)
    assert " succeeded " in earlier, "the nights before"
    assert site.versions() == before | {("photo_content", name): site.versions()["photo_content", name]}

    classifier.write_bytes(whole)
    executed = len(site.query("FROM executions"))
    site.succeed(run)
    made = site.query("SELECT asset, partition, status FROM executions ORDER BY started_at")[executed:]
    assert made == [{"asset": "cat_dog_scores", "partition": name, "status": "succeeded"}]


def test_the_code_location_loads(site: Site) -> None:
    [validate] = blocks("Install")
    done = site.follow(validate)
    assert done.returncode == 0, done.stderr
    assert "Validation successful" in done.stdout + done.stderr


def test_an_upgrade_brings_dagsters_tables_and_the_catalog_up_to_the_release(site: Site) -> None:
    """The catalog is one of the release before there were versions."""
    site.sql(f"DROP TABLE photo_popularity_{LABEL}.catalog_versions")
    look, upgrade = blocks("Upgrade to another release")
    said = site.succeed(f"cd {CHECKOUT}\n{look}", **site.on_a_server)
    assert "Storage schema state after migration" in said
    assert "version 1, of release 0.1.0" in said
    assert "has every version that this release knows" in site.succeed(upgrade)
    assert "nothing to do" in site.succeed(upgrade)


def test_results_that_are_lost_are_found_and_made_again(site: Site) -> None:
    before = site.versions()
    lost = ("behavior_signals", "log_signals", "popularity_model", "popularity_predictions")
    site.lose(*lost)
    again, _, earlier = blocks("Results are lost")
    look, rest = again.split("\n", 1)
    said = site.succeed(look)
    assert {line.split()[0] for line in said.splitlines()[:-1]} == set(lost)
    executed = len(site.query("FROM executions"))
    said = site.succeed(rest)
    assert NOTHING_TO_DO not in said
    assert site.versions() == before
    made = {row["asset"] for row in site.query("FROM executions ORDER BY started_at")[executed:]}
    assert made == {*lost, "quarantined_lines"}, "what follows from the same versions is not made again"
    left = [line.split()[0] for line in said.splitlines() if " lost: " in line]
    assert sorted(left) == ["popularity_model", "popularity_predictions"]
    site.succeed(earlier)
    assert site.succeed(look).startswith("every file of production is there")
    assert site.versions() == before
    assert {str(row["day"]) for row in site.query("SELECT day FROM popularity_predictions")} == set(NIGHTS)


@pytest.mark.s3
def test_a_buckets_prefix_that_is_lost_is_made_again(
    site: Site, tmp_path: Path, s3_server: S3Server, s3_bucket: str, postgres_url: str
) -> None:
    """Another production with the same past, whose results are in S3, where all of them are gone."""
    bucket, prefix = S3FileSystem(), f"{s3_bucket}/results/{LABEL}"
    bucket.put(str(site.folder / "home" / "storage" / LABEL), prefix, recursive=True)
    there = {
        **s3_server.environment,
        "PHOTO_POPULARITY_HOME": str(tmp_path / "home"),
        "PHOTO_POPULARITY_CATALOG": postgres_url,
        "PHOTO_POPULARITY_STORAGE": f"s3://{s3_bucket}/results",
        "PHOTO_POPULARITY_S3_ENDPOINT": s3_server.endpoint_url,
    }
    in_s3 = replace(site, folder=tmp_path, variables=site.variables | there)
    (tmp_path / "home").mkdir()
    shutil.copy(site.production().settings_file, tmp_path / "home")
    (backup, _), (restore, *_) = blocks("Back up"), blocks("The catalog is lost")
    replace(in_s3, variables=site.variables).succeed(backup)
    in_s3.succeed(restore)
    again, all_lost, earlier = blocks("Results are lost")
    look, rest = again.split("\n", 1)
    assert in_s3.succeed(look).startswith("every file of production is there")

    def digests() -> dict[str, str]:
        return {path: its["ETag"] for path, its in bucket.find(prefix, detail=True).items()}

    before, files = in_s3.versions(), digests()
    bucket.rm(prefix, recursive=True)
    refused = in_s3.follow(look)
    assert refused.returncode != 0
    assert f"of {LABEL} is below s3://{prefix}; look whether it is mounted" in refused.stderr
    assert in_s3.versions() == before
    said = in_s3.succeed(all_lost)
    assert {line.split()[0] for line in said.splitlines()[:-1]} == set(ASSETS)
    in_s3.succeed(rest)
    in_s3.succeed(earlier)
    assert in_s3.succeed(look).startswith("every file of production is there")
    assert in_s3.versions() == before
    assert digests() == files


def test_a_catalog_is_restored_from_its_backup_or_else_made_again(site: Site) -> None:
    before, history = site.versions(), len(site.query("FROM executions"))
    backup, _ = blocks("Back up")
    site.succeed(backup)
    site.sql(f"DROP SCHEMA photo_popularity_{LABEL} CASCADE")
    restore, _, run = blocks("The catalog is lost")
    site.succeed(restore)
    assert NOTHING_TO_DO in site.succeed(run)
    assert (site.versions(), len(site.query("FROM executions"))) == (before, history)

    site.sql(f"DROP SCHEMA photo_popularity_{LABEL} CASCADE")
    site.succeed("photo-popularity run")
    nightly = {"popularity_model", "model_evaluation", "popularity_predictions"}
    earlier = {(asset, NIGHTS[0]) for asset in nightly}
    assert site.versions() == {key: one for key, one in before.items() if key not in earlier}


def test_a_catalog_with_roles_is_restored_on_another_server(
    site: Site, postgres_server: PostgresServer
) -> None:
    (backup, _), (restore, roles, _) = blocks("Back up"), blocks("The catalog is lost")
    site.succeed(roles)
    site.succeed(backup)
    drop_roles(site.production())
    before, role = site.versions(), role_of(site.production(), "photo_content")
    with running_server(postgres_server.binaries) as another, owned_database(another) as url:
        there = replace(site, variables=site.variables | {"PHOTO_POPULARITY_CATALOG": url})
        there.succeed(restore)
        there.succeed(roles)
        assert there.versions() == before
        there.sql(f"ALTER ROLE {role} PASSWORD 'new'")
        signed_in = sa.make_url(url).set(username=role, password="new")
        catalog = read_outputs(there.production(signed_in.render_as_string(hide_password=False))).catalog
        made = catalog.current("photo_content")
        assert made.keys() == {key for asset, key in before if asset == "photo_content"}
        catalog.set_current("photo_content", made)
        assert not catalog.current("log_signals"), "it is not the task's"
        with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
            catalog.set_current("photo_features", made)


def test_dagster_is_told_everything_again(site: Site) -> None:
    before, days = site.versions(), {"behavior_signals", "photo_features", "popularity_predictions"}
    assert {asset for asset in days if site.told(asset)} == set(), "it is another one than told of the nights"
    [anew] = blocks("Dagster's database is lost")
    assert NOTHING_TO_DO in site.succeed(anew, **site.on_a_server)
    told = {asset: site.told(asset) for asset in days}
    assert told == {asset: {key for its, key in before if its == asset} for asset in days}
    assert site.versions() == before


def test_a_password_is_changed(site: Site, postgres_server: PostgresServer) -> None:
    [change] = blocks("Passwords and keys")
    at_work = read_outputs(site.production()).catalog
    made = at_work.current("photo_content")
    site.succeed(change, NEW_PASSWORD="it's new")
    assert at_work.current("photo_content") == made
    owner = sa.make_url(site.variables["PHOTO_POPULARITY_CATALOG"]).username
    postgres_server.administer(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{owner}'"
    )
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        at_work.current("photo_content")
    refused = site.follow("photo-popularity history")
    assert refused.returncode == 1
    assert re.fullmatch(r"photo-popularity: the catalog .* cannot be reached .*\n", refused.stderr)
    url = sa.make_url(site.variables["PHOTO_POPULARITY_CATALOG"])
    assert str(url.password) not in refused.stderr
    url = url.set(password="it's new")
    site.variables["PHOTO_POPULARITY_CATALOG"] = url.render_as_string(hide_password=False)
    assert site.versions()


def test_another_salt_has_every_log_scanned_and_no_day_counted_again(site: Site) -> None:
    before, executed = site.versions(), len(site.query("FROM executions"))
    site.variables["PHOTO_POPULARITY_VISITOR_SALT"] = "another secret"
    site.succeed("photo-popularity run")
    made = {row["asset"] for row in site.query("FROM executions ORDER BY started_at")[executed:]}
    after = site.versions()
    assert len(site.query("SELECT DISTINCT salt_version FROM log_signals")) == 1
    changed = {asset for (asset, key), version in before.items() if after[asset, key] != version}
    assert changed == {"log_signals"}
    assert made == {"log_signals", "quarantined_lines", "behavior_signals"}


def test_a_catalog_of_sqlite_is_backed_up_while_it_is_open(tmp_path: Path) -> None:
    file = tmp_path / "home" / "storage" / LABEL / "catalog.sqlite"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        _, backup = blocks("Back up")
        variables = {"PHOTO_POPULARITY_HOME": str(tmp_path / "home")}
        Site(tmp_path, variables, {}).succeed(backup)
    with sqlite3.connect(tmp_path / "catalog-backup.sqlite") as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
