"""`photo-popularity run --sample`: the right answer is known, so what comes out is held against it."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from photo_popularity.sample_site.site import SampleSite, read_site
from tests.end_to_end.command_line import CommandLine

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line after one run on the sample site."""
    line = CommandLine(tmp_path_factory.mktemp("sample") / "home")
    ran = line("run", "--sample")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # also of what libraries say when Python ends
    assert ran.stderr == ""
    (line.home / "first-report.txt").write_text(ran.stdout)
    return line


@pytest.fixture(scope="module")
def site(cli: CommandLine) -> SampleSite:
    return read_site(cli.home / "sample-site")


def test_the_report_tells_what_a_person_wants_to_know(cli: CommandLine) -> None:
    report = (cli.home / "first-report.txt").read_text()
    for asset in ("photo_metadata", "cat_dog_scores", "behavior_signals", "popularity_predictions"):
        assert asset in report
    for words in ("The model against its baselines", "The ten photos", "Where things lie", "What next"):
        assert words in report
    assert "Traceback" not in report


def test_behavior_signals_equal_the_truth_to_the_last_visitor(cli: CommandLine, site: SampleSite) -> None:
    found = cli.query("SELECT * FROM behavior_signals ORDER BY day, photo_id")
    assert found == site.truth()


def test_every_line_is_counted_or_quarantined(cli: CommandLine, site: SampleSite) -> None:
    [lines] = cli.query(
        "SELECT (SELECT sum(lines) FROM log_signals) AS good, (SELECT count(*) FROM quarantined_lines) AS quarantined"
    )
    assert lines["quarantined"] == site.malformed_lines
    assert lines["good"] + lines["quarantined"] == site.lines


def test_the_model_beats_every_baseline_on_known_and_on_new_photos(cli: CommandLine) -> None:
    rows = cli.query("SELECT * FROM model_evaluation")
    for segment in ("known", "new"):
        scores = {row["predictor"]: row for row in rows if row["segment"] == segment}
        model = scores.pop("model")
        assert len(scores) == 3
        for baseline in scores.values():
            assert model["spearman"] > baseline["spearman"]
            assert model["mae_log1p"] < baseline["mae_log1p"]


def test_the_predictions_rank_as_the_law_does(cli: CommandLine, site: SampleSite) -> None:
    """The law knows no later day than the last one, so that day's expectation stands for the week to come."""
    rows = cli.query("SELECT photo_id, expected_views, day FROM popularity_predictions")
    assert {row["day"] for row in rows} == {str(site.last_day)}
    law = site.expected_views()
    pairs = [(row["expected_views"], law.get((site.last_day, row["photo_id"]))) for row in rows]
    known = np.array([(ours, theirs) for ours, theirs in pairs if theirs is not None])
    assert len(known) > 300
    assert spearmanr(known[:, 0], known[:, 1]).statistic > 0.8


def test_every_living_photo_is_predicted_by_the_model_of_the_night(cli: CommandLine) -> None:
    [counts] = cli.query(
        "SELECT (SELECT count(*) FROM photo_metadata WHERE deleted_at IS NULL) AS alive,"
        " (SELECT count(DISTINCT photo_id) FROM popularity_predictions) AS predicted,"
        " (SELECT count(DISTINCT p.model_version) FROM popularity_predictions p"
        "  JOIN popularity_model m ON m.model_version = p.model_version) AS models"
    )
    assert counts["alive"] == counts["predicted"]
    assert counts["models"] == 1


def test_broken_photos_keep_their_rows_and_reasons(cli: CommandLine) -> None:
    rows = cli.query("SELECT file, problem FROM photo_content WHERE problem IS NOT NULL")
    assert len(rows) == 2
    scored = {row["file"] for row in cli.query("SELECT file FROM cat_dog_scores")}
    assert not scored & {row["file"] for row in rows}


def test_a_second_run_recomputes_nothing_and_says_so(cli: CommandLine) -> None:
    before = cli.history()
    again = cli("run", "--sample")
    assert again.returncode == 0, again.stderr
    assert "nothing was recomputed" in again.stdout
    assert len(cli.history()) == len(before)


def test_history_carries_every_execution_with_its_figures(cli: CommandLine) -> None:
    rows = cli.history("photo_content")
    assert len(rows) == len(list((cli.home / "sample-site" / "photos").rglob("*.*")))
    fields = "asset partition status run_id environment launched_by started_at seconds rows bytes content_version error"
    assert all(set(fields.split()) <= set(row) for row in rows)
    assert {row["status"] for row in rows} == {"succeeded"}
    assert all(row["environment"] == "local" and row["seconds"] >= 0 and row["bytes"] > 0 for row in rows)
    moment = datetime.datetime.fromisoformat(rows[0]["started_at"])
    assert moment.tzinfo is not None
    assert Path(rows[0]["log"]).read_text()


def test_the_picture_of_runtimes_is_drawn(cli: CommandLine, tmp_path: Path) -> None:
    picture = tmp_path / "runtimes.png"
    assert cli("history", "--picture", str(picture)).returncode == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("order", "descending"), [("newest-first", True), ("oldest-first", False)])
def test_a_backfill_keeps_its_order(cli: CommandLine, order: str, descending: bool) -> None:
    done = cli("backfill", "behavior_signals", "--from", "2026-10-10", "--to", "2026-10-14", "--order", order)
    assert done.returncode == 0, done.stderr
    rows = pd.DataFrame(cli.history("behavior_signals", "--limit", "5")).sort_values("started_at")
    days = rows["partition"].tolist()
    assert days == sorted(days, reverse=descending)
    assert len(set(rows["run_id"])) == 5


def test_another_classifier_scores_every_photo_again(cli: CommandLine) -> None:
    """Runs last: it changes what the others look at."""
    before = cli.query("SELECT DISTINCT model_version FROM cat_dog_scores")
    training = cli.home / "sample-site" / "classifier_training"
    trained = cli("train-classifier", str(training), "--seed", "1", "--output", str(cli.home / "other.skops"))
    assert trained.returncode == 0, trained.stderr
    assert cli("run").returncode == 0
    after = cli.query("SELECT DISTINCT model_version FROM cat_dog_scores")
    assert len(before) == len(after) == 1
    assert before != after
    [alone] = cli.query("SELECT count(*) AS runs FROM executions WHERE asset = 'photo_content'")
    photos = len(list((cli.home / "sample-site" / "photos").rglob("*.*")))
    assert alone["runs"] == photos


def test_the_sample_never_takes_the_place_of_a_real_site(tmp_path: Path) -> None:
    line = CommandLine(tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings.toml").write_text(f'photos = "{tmp_path}/mine"\n')
    refused = line("run", "--sample")
    assert refused.returncode == 2
    assert f"holds the results of {tmp_path}/mine; run the sample elsewhere" in refused.stderr
    assert not (tmp_path / "home" / "sample-site").exists()
    assert not (tmp_path / "home" / "storage").exists()
