"""Checks: literal rows that hold and that break each rule, and what a broken one stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest

from assets.behavior_signals import behavior_signals
from assets.progress import Work
from partitions.days import day_partitions
from photo_popularity import rules
from photo_popularity.checks import ERROR, RULES, WARN, evaluate
from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.tasks import tasks
from photo_popularity.planning import next_batch
from photo_popularity.rules import Checked, Rule
from resources.catalog_records import Output
from resources.installation import Installation
from resources.io_managers import RANGE_END_TAG, RANGE_START_TAG
from resources.output_parts import Result
from resources.pipeline import Snapshot
from resources.table_storage import TableStorage
from tests import small_site
from tests.night_fixtures import QUIETLY, Place, quiet
from tests.photo_site import LAST_DAY

DAY, NEXT_DAY = "2026-10-10", "2026-10-11"


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    return small_site.an_installation(small_site.an_environment(tmp_path))


@dataclass(frozen=True)
class Given(Checked):
    """Rows that no step has made, as tests want them; those of other assets too, by their names."""

    frames: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def rows_of(self, asset: str, *columns: str) -> pd.DataFrame:
        return self.frames[asset][list(columns)] if asset in self.frames else super().rows_of(asset, *columns)


def checked(
    site: Installation,
    asset: str,
    rows: list[dict[str, Any]],
    partitions: list[str],
    **others: pd.DataFrame,
) -> Checked:
    """What a rule would look at if these rows were current."""
    frames = {asset: small_site.a_frame(asset, rows), **others}
    return Given(asset, partitions, site.storage, Snapshot(site.catalog), frames=frames)


def broken(rule: Rule, looked_at: Checked) -> list[str]:
    return list(rule(looked_at).broken)


def test_rows_that_share_their_key_are_named(site: Installation) -> None:
    rows = [{"day": DAY, "photo_id": photo} for photo in ("a", "b", "a")]
    assert broken(rules.keys_are_unique, checked(site, "behavior_signals", rows[:2], [DAY])) == []
    assert broken(rules.keys_are_unique, checked(site, "behavior_signals", rows, [DAY])) == ["2026-10-10 a"]


@pytest.mark.parametrize(("visitors", "found"), [(2, []), (3, []), (4, ["2026-10-10 a"])])
def test_nobody_visits_without_viewing(site: Installation, visitors: int, found: list[str]) -> None:
    rows = [{"day": DAY, "photo_id": "a", "views": 3, "unique_visitors": visitors}]
    assert broken(rules.visitors_within_views, checked(site, "behavior_signals", rows, [DAY])) == found


@pytest.mark.parametrize(("lines", "found"), [(7, []), (8, ["a%2Cb.log: 8 lines, 7 good or quarantined"])])
def test_every_line_is_good_or_quarantined(site: Installation, lines: int, found: list[str]) -> None:
    key = "a%2Cb.log"
    quarantined = small_site.a_frame(
        "quarantined_lines",
        [{"file": "a,b.log", "line_number": n, "reason": "odd", "line": "", "lines": 1} for n in (3, 4)],
    )
    small_site.commit(site, "quarantined_lines", quarantined, partitions=[key])
    site.catalog.set_current("log_signals", {key: Output("1", detail={"lines": lines})})
    rows = [{"file": "a,b.log", "lines": 3}, {"file": "a,b.log", "lines": 2}]
    looked_at = checked(site, "log_signals", [{"day": DAY, **row} for row in rows], [key])
    assert broken(rules.every_line_is_accounted_for, looked_at) == found


@pytest.mark.parametrize(
    ("scores", "holds"),
    [
        ((0.2, 0.3, 0.5), True),
        ((1.0, 0.0, 0.0), True),
        ((0.2, 0.3, 0.4), False),  # 0.9 in all
        ((1.2, -0.2, 0.0), False),
        ((float("nan"), 0.5, 0.5), False),
    ],
)
def test_scores_are_probabilities(
    site: Installation, scores: tuple[float, float, float], holds: bool
) -> None:
    rows = [{"file": "a.jpg", **dict(zip(("p_cat", "p_dog", "p_neither"), scores, strict=True))}]
    looked_at = checked(site, "cat_dog_scores", rows, ["a.jpg"])
    assert broken(rules.scores_are_probabilities, looked_at) == ([] if holds else ["a.jpg"])


def test_a_photo_file_that_cannot_be_read_is_told_with_its_reason(site: Installation) -> None:
    rows = [{"file": "a.jpg"}, {"file": "b.jpg", "problem": "b.jpg is a text"}]
    assert broken(rules.files_are_readable, checked(site, "photo_content", rows, ["a.jpg"])) == [
        "b.jpg is a text"
    ]


def test_a_row_without_a_file_and_a_file_without_a_row_are_told(site: Installation) -> None:
    photos = [
        small_site.photo("a", DAY),
        small_site.photo("gone", DAY),
        small_site.photo("deleted", DAY, deleted_at=datetime(2026, 10, 11)),
    ]
    small_site.commit(site, "photo_metadata", pd.concat(photos, ignore_index=True), partitions=[DAY])
    site.catalog.set_current("photo_files", {"a.jpg": Output("1"), "odd%2C.jpg": Output("1")})
    looked_at = checked(site, "photo_features", [], [DAY])
    assert broken(rules.every_photo_has_its_file, looked_at) == [
        "gone.jpg: a row without a file",
        "odd,.jpg: a file without a row",
    ]
    # the row of a file may be of a day that no night has come to yet
    site.catalog.set_current("photo_database", {DAY: Output("1"), NEXT_DAY: Output("1")})
    looked_at = checked(site, "photo_features", [], [DAY])
    assert broken(rules.every_photo_has_its_file, looked_at) == ["gone.jpg: a row without a file"]


@pytest.mark.parametrize(
    ("last_moment", "found"),
    [
        ("2026-10-10T23:30:00+00:00", []),
        ("2026-10-11T05:00:00+00:00", []),
        ("2026-10-10T20:00:00+00:00", ["2026-10-10: the logs end at 2026-10-10 20:00 UTC"]),
    ],
)
def test_the_logs_reach_the_end_of_the_day(site: Installation, last_moment: str, found: list[str]) -> None:
    site.catalog.set_current("log_signals", {"a.log": Output("1", detail={"last_moment": last_moment})})
    assert broken(rules.logs_cover_the_day, checked(site, "behavior_signals", [], [DAY])) == found


def test_a_day_without_a_line_between_days_with_lines_is_told(site: Installation) -> None:
    site.catalog.set_current("log_signals", {"a.log": Output("1", index=("2026-10-05", "2026-10-08"))})
    days = [f"2026-10-0{day}" for day in range(3, 10)]
    looked_at = checked(site, "behavior_signals", [], days)
    assert broken(rules.no_day_is_missing_from_the_logs, looked_at) == ["2026-10-06", "2026-10-07"]


@pytest.mark.parametrize(
    ("upload", "found"), [("2026-10-07", []), ("2026-10-06", [DAY]), ("2026-10-11", [DAY])]
)
def test_the_database_had_an_upload_in_the_last_days(
    site: Installation, upload: str, found: list[str]
) -> None:
    site.catalog.set_current("photo_database", {upload: Output("1")})
    assert broken(rules.uploads_are_recent, checked(site, "photo_metadata", [], [DAY])) == found


def test_a_models_card_says_how_it_came_to_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = Checked.current(place.installation.storage, "popularity_model", None)
    assert broken(rules.cards_are_complete, looked_at) == []
    [(night, card)] = looked_at.cards().items()
    assert [part.cards() for part in looked_at.by_key().values()] == [{night: card}]
    lacking = {key: value for key, value in card.items() if key != "libraries"} | {"metrics": {}}
    monkeypatch.setattr(Checked, "cards", lambda self: {night: lacking})
    assert broken(rules.cards_are_complete, looked_at) == [f"{night}: metrics", f"{night}: libraries"]


def test_each_living_photo_is_predicted_exactly_once(site: Installation) -> None:
    features = small_site.a_frame("photo_features", [{"day": DAY, "photo_id": photo} for photo in ("a", "b")])
    site.catalog.set_current("photo_features", {})

    def predicted(*photos: str) -> list[str]:
        rows = [{"day": DAY, "photo_id": photo} for photo in photos]
        told = checked(site, "popularity_predictions", rows, [DAY], photo_features=features)
        return broken(rules.every_living_photo_is_predicted, told)

    assert predicted("a", "b") == []
    assert predicted("a") == ["2026-10-10 b"]
    assert predicted("a", "b", "c") == ["2026-10-10 c"]
    assert predicted("a", "b", "b") == ["2026-10-10 b"]


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ((0.6, 0.4), []),
        ((0.5, 0.4), ["2026-10-10 known: not better than last_week"]),  # ranks no better
        ((0.6, 0.5), ["2026-10-10 known: not better than last_week"]),  # errs no less
        ((float("nan"), 0.4), ["2026-10-10 known: not better than last_week"]),
    ],
)
def test_the_model_beats_every_baseline(
    site: Installation, model: tuple[float, float], found: list[str]
) -> None:
    rows = [
        {"day": DAY, "segment": "known", "predictor": name, "spearman": spearman, "mae_log1p": error}
        for name, (spearman, error) in {"model": model, "last_week": (0.5, 0.5)}.items()
    ]
    assert broken(rules.model_beats_its_baselines, checked(site, "model_evaluation", rows, [DAY])) == found


@pytest.mark.parametrize(("asset", "rule"), [(asset, rule) for asset, _, rule, _ in RULES])
def test_a_check_of_an_asset_that_was_never_made_has_nothing_to_look_at(
    site: Installation, asset: str, rule: Rule
) -> None:
    result = evaluate(rule, Checked.current(site.storage, asset, None), WARN)
    assert (result.passed, result.description) == (True, "there is nothing to look at yet")


def test_what_is_wrong_enough_to_spread_blocks_and_the_rest_warns() -> None:
    severities = {(asset, name): severity for asset, name, _, severity in RULES}
    assert {key for key, severity in severities.items() if severity == WARN} == {
        ("behavior_signals", "no_day_is_missing_from_the_logs"),
        ("photo_content", "files_are_readable"),
        ("photo_metadata", "uploads_are_recent"),
        ("photo_features", "every_photo_has_its_file"),
        ("model_evaluation", "model_beats_its_baselines"),
    }


def test_all_checks_launched_from_a_page_look_at_every_partition(place: Place) -> None:
    """A run without a partition, as the button "Execute all" launches it."""
    keys = {dg.AssetCheckKey(dg.AssetKey(asset), name) for asset, name, _, _ in RULES}
    job = place.definitions.resolve_implicit_global_asset_job_def()
    alone = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    result = alone.execute_in_process(instance=place.instance, raise_on_error=False)
    assert result.success
    evaluations = [e for e in result.get_asset_check_evaluations() if e.partition is None]
    assert {evaluation.asset_check_key for evaluation in evaluations} == keys
    assert all(evaluation.description for evaluation in evaluations)


def test_checks_ask_for_nothing_that_their_task_is_not_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that shows each role its own rows alone would answer that there are none."""
    by_name = {task.name: task for task in tasks()}
    asked: set[tuple[str, str]] = set()
    outputs = Checked.outputs

    def noting(checked: Checked, asset: str) -> dict[str, Output]:
        asked.add((checked.asset, asset))
        return outputs(checked, asset)

    monkeypatch.setattr(Checked, "outputs", noting)
    for asset, _, rule, _ in RULES:
        rule(Checked.current(place.installation.storage, asset, None))
    assert {asset for asset, _ in asked} == {asset for asset, *_ in RULES}
    wrong = {
        (asset, other) for asset, other in asked if other not in by_name[PIPELINE.by_asset[asset].name].sees
    }
    assert wrong == set()
    assert set(rules.COMPARED_WITH) <= {asset for asset, *_ in RULES}


def with_miscounted_visitors(place: Place, day: str) -> dg.Definitions:
    """The code location with a behaviour step that counts too many visitors on one day."""

    def miscounted(work: Work, log_signals: pd.DataFrame, storage: TableStorage) -> Result:
        made: Result = behavior_signals(work, log_signals, storage)
        assert isinstance(made.made, pd.DataFrame)
        rows = made.made.copy()
        rows.loc[rows["day"] == pd.Timestamp(day), "unique_visitors"] += 100
        return replace(made, made=rows)

    definitions = place.definitions
    key, days = (
        dg.AssetKey("behavior_signals"),
        day_partitions(place.environment.settings.first_partition_day),
    )
    others = [
        a for a in definitions.assets or [] if not (isinstance(a, dg.AssetsDefinition) and key in a.keys)
    ]
    return dg.Definitions(
        assets=[*others, replace(behavior_signals, function=miscounted).definition(days)],
        asset_checks=definitions.asset_checks,
        resources=definitions.resources,
        executor=dg.in_process_executor,
        loggers={"quiet": quiet},
    )


def test_a_broken_blocking_check_stops_what_is_downstream_and_rejects_that_partition_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = place.installation.catalog.current("photo_features")
    read, read_rows = Counter[tuple[str, tuple[str, ...]]](), TableStorage._read_rows

    def count(
        storage: TableStorage, asset: str, partition: str, output: Output, columns: list[str] | None
    ) -> pa.Table:
        read[partition, tuple(columns or ())] += asset == "behavior_signals"
        return read_rows(storage, asset, partition, output, columns)

    monkeypatch.setattr(TableStorage, "_read_rows", count)
    job = with_miscounted_visitors(place, NEXT_DAY).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=place.instance,
        asset_selection=[dg.AssetKey("behavior_signals"), dg.AssetKey("photo_features")],
        tags={RANGE_START_TAG: DAY, RANGE_END_TAG: "2026-10-12"},
        run_config=QUIETLY,
        raise_on_error=False,
    )
    assert not result.success
    assert "photo_features" not in {e.step_key for e in result.all_events if e.is_step_start}
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert {(e.check_name, e.partition) for e in failed} == {
        ("visitors_within_views", None),  # of the whole range
        ("visitors_within_views", NEXT_DAY),
    }
    catalog = place.installation.catalog
    rejected = {day: output.rejected for day, output in catalog.current("behavior_signals").items()}
    assert {day: why for day, why in rejected.items() if why} == {
        NEXT_DAY: "the check visitors_within_views: photos have more visitors than views (8)"
    }
    assert catalog.current("photo_features") == before
    of_the_rule = ("day", "photo_id", "unique_visitors", "views")
    times = {partition: count for (partition, columns), count in read.items() if columns == of_the_rule}
    assert times == {DAY: 1, NEXT_DAY: 1, "2026-10-12": 1}

    # the next night, with the fault mended: made again, and only then built on
    place.detect()
    batch = next_batch(place.installation, LAST_DAY)
    assert batch is not None
    assert (batch.steps, batch.partitions) == (("behavior_signals",), (NEXT_DAY,))
    assert place.execute(batch).success
    assert not catalog.current("behavior_signals")[NEXT_DAY].rejected
    assert place.stale() == {}


def test_severity_and_blocking_go_together(place: Place) -> None:
    for check in place.definitions.asset_checks or []:
        assert isinstance(check, dg.AssetChecksDefinition)
        for spec in check.check_specs:
            severity = next(
                s for a, n, _, s in RULES if (a, n) == (spec.asset_key.to_user_string(), spec.name)
            )
            assert spec.blocking == (severity == ERROR)
            assert spec.partitions_def is not None
            assert spec.description
