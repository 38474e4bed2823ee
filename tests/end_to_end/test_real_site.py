"""The pipeline on a real photo site, with figures that were counted another way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.command_line import CommandLine

pytestmark = [pytest.mark.end_to_end, pytest.mark.real_data]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> CommandLine:
    """The command line after one run on the real site."""
    line = CommandLine(tmp_path_factory.mktemp("real") / "home")
    ran = line("run", "--site", str(real_data / "site"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return line


def test_the_sums_of_behavior_signals_are_those_of_an_independent_count(cli: CommandLine) -> None:
    """The figures come from a DuckDB query with regular expressions over the unpacked text."""
    [sums] = cli.query(
        "SELECT sum(views) AS views, sum(unique_visitors) AS unique_visitors, sum(likes) AS likes,"
        " sum(downloads) AS downloads, sum(bytes) AS bytes, sum(external_referrals) AS external_referrals,"
        " sum(robot_views) AS robot_views, count(*) AS rows, count(DISTINCT day) AS days FROM behavior_signals"
    )
    assert sums == {
        "views": 263_713,
        "unique_visitors": 261_369,
        "likes": 17_359,
        "downloads": 5_198,
        "bytes": 24_756_250_815,
        "external_referrals": 65_462,
        "robot_views": 118_422,
        "rows": 32_535,
        "days": 60,
    }


def test_all_lines_are_good_or_quarantined(cli: CommandLine) -> None:
    [lines] = cli.query(
        "SELECT (SELECT sum(lines) FROM log_signals) AS good, (SELECT count(*) FROM quarantined_lines) AS quarantined"
    )
    assert lines == {"good": 458_947, "quarantined": 1_455}


def test_every_photo_is_read_scored_and_every_living_one_predicted(cli: CommandLine) -> None:
    [counts] = cli.query(
        "SELECT (SELECT count(*) FROM photo_content WHERE problem IS NULL) AS read,"
        " (SELECT count(*) FROM cat_dog_scores) AS scored,"
        " (SELECT count(*) FROM photo_metadata"
        "  WHERE deleted_at IS NULL OR deleted_at >= '2026-11-19') AS alive,"
        " (SELECT count(*) FROM popularity_predictions) AS predicted"
    )
    assert counts["read"] == counts["scored"] == 1_236
    assert counts["alive"] == counts["predicted"]


def test_known_photos_are_predicted_better_than_by_any_baseline(cli: CommandLine) -> None:
    rows = cli.query("SELECT * FROM model_evaluation WHERE segment = 'known'")
    scores = {row["predictor"]: row for row in rows}
    model = scores.pop("model")
    assert all(
        model["spearman"] > s["spearman"] and model["mae_log1p"] < s["mae_log1p"] for s in scores.values()
    )
