"""Bad input gets one clear sentence, and one bad file never stops the others."""

from __future__ import annotations

import gzip
import resource
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine

pytestmark = pytest.mark.end_to_end
GIB_IN_KIB = 2**20


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path / "home")


def sentence_of(cli: CommandLine, *arguments: str, **variables: str) -> str:
    """The one sentence on standard error of a command that refuses its input."""
    ended = cli(*arguments, **variables)
    assert ended.returncode in {1, 2}
    assert "Traceback" not in ended.stderr
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("photo-popularity: ")]
    return line


def test_a_missing_site_names_the_folder(cli: CommandLine, tmp_path: Path) -> None:
    sentence = sentence_of(cli, "run", "--site", str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in sentence
    assert "--site" in sentence


def test_a_missing_photo_folder_names_folder_and_option(
    cli: CommandLine, small_site: Path, tmp_path: Path
) -> None:
    sentence = sentence_of(cli, "run", "--site", str(small_site), "--photos", str(tmp_path / "gone"))
    assert str(tmp_path / "gone") in sentence
    assert "--photos" in sentence


def test_an_unreachable_database_names_it_without_the_password(cli: CommandLine, small_site: Path) -> None:
    pytest.importorskip("psycopg2")
    url = "postgresql://reader:secret@127.0.0.1:1/photos"
    sentence = sentence_of(cli, "run", "--site", str(small_site), "--database", url)
    assert "127.0.0.1" in sentence
    assert "secret" not in sentence


def test_a_database_of_another_shape_names_what_is_missing(
    cli: CommandLine, small_site: Path, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("create table albums(id text)")
    sentence = sentence_of(
        cli, "run", "--site", str(small_site), "--database", f"sqlite:///{tmp_path / 'other.sqlite'}"
    )
    assert "photos" in sentence


def test_an_unknown_environment_lists_the_known_ones(cli: CommandLine) -> None:
    sentence = sentence_of(cli, "run", "--sample", PHOTO_POPULARITY_ENV="prod")
    assert "local, staging, production" in sentence


def test_a_typo_in_a_setting_is_met_with_the_right_name(cli: CommandLine) -> None:
    sentence = sentence_of(cli, "run", "--sample", PHOTO_POPULARITY_FIRST_DYA="2026-10-01")
    assert "PHOTO_POPULARITY_FIRST_DAY" in sentence


def test_a_typo_in_the_settings_file_names_file_and_key(cli: CommandLine) -> None:
    cli.home.mkdir()
    (cli.home / "settings.toml").write_text('own_hots = ["photos.example"]\n')
    sentence = sentence_of(cli, "run", "--sample")
    assert "settings.toml" in sentence
    assert "own_hosts" in sentence


def test_a_home_that_is_no_folder_names_it(cli: CommandLine) -> None:
    cli.home.write_text("")
    assert f"{cli.home}: cannot be made (File exists); set PHOTO_POPULARITY_HOME" in sentence_of(cli, "run")


@pytest.mark.parametrize("home", ["relative", "/nowhere/at/all"])
def test_a_dagster_home_that_is_no_folder_names_it(cli: CommandLine, small_site: Path, home: str) -> None:
    sentence = sentence_of(cli, "run", "--site", str(small_site), DAGSTER_HOME=home)
    assert f"DAGSTER_HOME={home}: not the full path of a folder" in sentence


def test_options_that_led_to_a_failure_are_not_kept(
    cli: CommandLine, small_site: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    ran = cli("run", "--site", str(small_site), "--classifier", str(tmp_path / "bad.onnx"))
    assert ran.returncode == 1
    assert "is not an ONNX model that can be run" in ran.stdout
    assert "Dependencies for step" not in ran.stdout
    assert "0, 42 failed" in ran.stdout
    assert not (cli.home / "settings.toml").exists()


def test_any_character_may_stand_in_the_path_of_a_site(
    cli: CommandLine, small_site: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "50%25 of #1? ä & b's"
    odd.symlink_to(small_site)
    ran = cli("run", "--site", str(odd), "--until", "2026-10-10")
    assert "photo_metadata" in ran.stdout, ran.stderr
    assert cli.query("SELECT count(*) AS n FROM photo_metadata")[0]["n"] > 5


def test_a_day_that_is_none_says_how_to_write_it(cli: CommandLine, small_site: Path) -> None:
    assert "YYYY-MM-DD" in sentence_of(cli, "run", "--site", str(small_site), "--until", "18.11.2026")


def test_a_truncated_log_keeps_its_lines_and_quarantines_the_cut(
    cli: CommandLine, small_site: Path, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(small_site / "logs", logs)
    victim = sorted(logs.iterdir())[3]
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    (logs / "foreign.log").write_text('{"time": "2026-10-01", "message": "not an access log"}\n' * 3)
    (logs / "notes.gz").write_bytes(gzip.compress(b"just a note\n"))
    ran = cli("run", "--site", str(small_site), "--logs", str(logs))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    reasons = {
        (r["file"], r["reason"].split(" (")[0])
        for r in cli.query("SELECT file, reason FROM quarantined_lines")
    }
    assert any(file == victim.name and "truncated" in reason for file, reason in reasons)
    assert any(file == "foreign.log" for file, _ in reasons)
    [good] = cli.query(f"SELECT sum(lines) AS lines FROM log_signals WHERE file = '{victim.name}'")
    assert good["lines"] > 0


@pytest.mark.real_data
def test_odd_images_and_logs_of_the_real_world_go_through_in_bounded_memory(
    cli: CommandLine, small_site: Path, real_data: Path, tmp_path: Path
) -> None:
    photos, logs = tmp_path / "photos", tmp_path / "logs"
    for folder in ("corrupt", "exif"):
        shutil.copytree(real_data / folder / "files", photos / folder)
    shutil.copytree(real_data / "logs", logs / "odd")
    shutil.copytree(small_site / "logs", logs / "good")
    ran = cli(
        "run",
        "--site",
        str(small_site),
        "--photos",
        str(photos),
        "--logs",
        str(logs),
        "--until",
        "2026-10-24",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < GIB_IN_KIB
    files = [path for path in photos.rglob("*") if path.is_file()]
    [found] = cli.query("SELECT count(*) AS files, count(problem) AS problems FROM photo_content")
    assert found["files"] == len(files)
    assert 15 <= found["problems"] <= 25
    [odd] = cli.query("SELECT count(*) AS lines FROM quarantined_lines WHERE file LIKE '%netsparker%'")
    assert odd["lines"] == 7_314
