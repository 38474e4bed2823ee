"""Metrics, baselines, intervals and the promotion, on a small site whose law is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from photo_popularity.domain.evaluation import BASELINES, Evaluation, evaluate
from photo_popularity.domain.features import build_features
from photo_popularity.domain.popularity import LABEL, TrainedModel, build_examples, train_model

PHOTOS, DAYS = 300, 45
FIRST_DAY = pd.Timestamp("2026-03-01")
NIGHT = FIRST_DAY + pd.Timedelta(days=DAYS - 1)


@dataclass(frozen=True)
class LawSite:
    """Examples of a site whose views follow p_cat, brightness, owner and age; `best` is the law's own mean."""

    examples: pd.DataFrame
    best: pd.Series


@pytest.fixture(scope="module")
def site() -> LawSite:
    rng = np.random.default_rng(4)
    ids = [f"p{n:03d}" for n in range(PHOTOS)]
    uploaded = FIRST_DAY - pd.Timedelta(days=5) + pd.to_timedelta(rng.uniform(0, DAYS + 5, PHOTOS), unit="D")
    owner, p_cat, brightness = rng.integers(0, 40, PHOTOS), rng.random(PHOTOS), rng.random(PHOTOS)
    strength = rng.normal(0, 0.5, 40)[owner] + 1.5 * p_cat - 2 * (brightness - 0.5) ** 2 - 0.5
    days = pd.date_range(FIRST_DAY, periods=DAYS).as_unit("us")
    # a photo is seen from the day after its upload on, so every photo is new in its first night
    age = (days.to_numpy()[:, None] - uploaded.floor("D").to_numpy()[None, :]) / np.timedelta64(1, "D")
    mean = np.where(age >= 1, 20 * np.exp(strength) / np.maximum(age, 1) ** 0.9, 0.0)
    views = pd.DataFrame(rng.poisson(mean), index=days, columns=ids).rename_axis(
        index="day", columns="photo_id"
    )
    behavior = views.melt(ignore_index=False, value_name="views").reset_index()
    behavior = behavior[behavior["views"] > 0].assign(
        unique_visitors=behavior["views"], likes=0, downloads=0, bytes=0, external_referrals=0, robot_views=0
    )
    photos = pd.DataFrame({"photo_id": ids, "owner_id": owner.astype(str), "file": ids})
    photos = photos.assign(width=4, height=3, deleted_at=None, owner_joined_at=None)
    photos["uploaded_at"] = pd.Series(uploaded).dt.as_unit("us").dt.tz_localize("UTC")
    measured = {"contrast": 0.5, "saturation": 0.5, "warmth": 0.0, "sharpness": 0.1, "has_gps": False}
    content = pd.DataFrame({"file": ids, "width": 4, "height": 3, "brightness": brightness, **measured})
    scores = pd.DataFrame({"file": ids, "p_cat": p_cat, "p_dog": 1 - p_cat, "p_neither": 0.0})
    features = build_features(list(days), photos=photos, content=content, scores=scores, behavior=behavior)
    examples = build_examples(list(days[7:]), features=features, behavior=behavior)
    week = pd.DataFrame(mean, index=days, columns=ids).rolling(7).sum()
    best = [week.at[night, photo] for night, photo in zip(examples["day"], examples["photo_id"], strict=True)]
    return LawSite(examples, pd.Series(best, index=examples.index))


@pytest.fixture(scope="module")
def model(site: LawSite) -> TrainedModel:
    return train_model(site.examples, night=NIGHT)


@pytest.fixture(scope="module")
def evaluation(site: LawSite, model: TrainedModel) -> Evaluation:
    return evaluate(model, site.examples, best_possible=site.best)


def score(evaluation: Evaluation, segment: str, predictor: str) -> pd.Series:
    table = evaluation.table
    return table[(table["segment"] == segment) & (table["predictor"] == predictor)].iloc[0]


@pytest.mark.parametrize("segment", ["known", "new"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_the_model_beats_every_baseline_where_popularity_follows_a_law(
    evaluation: Evaluation, segment: str, baseline: str
) -> None:
    ours, theirs = score(evaluation, segment, "model"), score(evaluation, segment, baseline)
    assert ours["examples"] >= 30
    assert ours["spearman"] > theirs["spearman"]
    assert ours["mae_log1p"] < theirs["mae_log1p"]


def test_a_model_that_beats_every_baseline_with_margin_is_promoted(evaluation: Evaluation) -> None:
    assert evaluation.promoted
    assert evaluation.table["promoted"].all()


def test_nothing_is_better_than_the_law_itself(evaluation: Evaluation) -> None:
    for segment in ("all", "known", "new"):
        best = score(evaluation, segment, "best_possible")
        assert best["spearman"] >= score(evaluation, segment, "model")["spearman"]
        assert best["mae_log1p"] <= score(evaluation, segment, "model")["mae_log1p"]


def test_a_model_that_learnt_noise_is_not_promoted(site: LawSite) -> None:
    labels = np.random.default_rng(0).permutation(site.examples[LABEL])
    noise = train_model(site.examples.assign(**{LABEL: labels}), night=NIGHT)
    assert not evaluate(noise, site.examples).promoted


def test_points_are_the_field_s_metrics_with_average_ranks_for_ties(evaluation: Evaluation) -> None:
    rows = evaluation.examples[evaluation.examples["segment"] == "known"]
    for predictor in ("model", "last_7_days_views", "owner_mean"):
        stated = score(evaluation, "known", predictor)
        assert stated["spearman"] == pytest.approx(
            spearmanr(rows[predictor], rows["actual"]).statistic, abs=1e-6
        )
        error = np.abs(np.log1p(rows[predictor]) - np.log1p(rows["actual"])).mean()
        assert stated["mae_log1p"] == pytest.approx(error, abs=1e-6)


def test_intervals_are_those_of_resampling_whole_photos(evaluation: Evaluation) -> None:
    """Rows of one photo are no independent evidence: drawing rows would give an interval far too narrow."""
    rows = evaluation.examples[evaluation.examples["segment"] == "known"]
    groups = [group for _, group in rows.groupby("photo_id")]
    rng = np.random.default_rng(1)
    by_hand = []
    for _ in range(300):
        drawn = pd.concat([groups[n] for n in rng.integers(0, len(groups), len(groups))])
        by_hand.append(spearmanr(drawn["last_7_days_views"], drawn["actual"]).statistic)
    stated = score(evaluation, "known", "last_7_days_views")
    low, high = np.quantile(by_hand, [0.025, 0.975])
    assert stated["spearman_low"] == pytest.approx(low, abs=0.25 * (high - low))
    assert stated["spearman_high"] == pytest.approx(high, abs=0.25 * (high - low))


def test_the_point_lies_within_its_interval(evaluation: Evaluation) -> None:
    for metric in ("spearman", "mae_log1p"):
        table = evaluation.table
        assert (table[f"{metric}_low"] <= table[metric]).all()
        assert (table[metric] <= table[f"{metric}_high"]).all()


def test_a_predictor_that_gives_all_photos_the_same_number_ranks_nothing(evaluation: Evaluation) -> None:
    constant = score(evaluation, "new", "last_7_days_views")
    assert [constant[name] for name in ("spearman", "spearman_low", "spearman_high")] == [0, 0, 0]


def test_only_the_test_nights_are_scored(evaluation: Evaluation, model: TrainedModel) -> None:
    feature_days = sorted(evaluation.examples["feature_day"].unique())
    assert [f"{day + pd.Timedelta(days=7):%Y-%m-%d}" for day in feature_days] == model.card["test_nights"]
    assert len(feature_days) == 7


def test_baselines_learn_nothing_from_labels_that_were_not_complete(
    site: LawSite, model: TrainedModel, evaluation: Evaluation
) -> None:
    first_test = pd.Timestamp(model.card["test_nights"][0])
    planted = site.examples.copy()
    late = (planted["day"] > first_test - pd.Timedelta(days=7)) & (planted["day"] < first_test)
    planted.loc[late, LABEL] = 9999.0
    again = evaluate(model, planted).examples
    pd.testing.assert_frame_equal(again[list(BASELINES)], evaluation.examples[list(BASELINES)])


def test_new_photos_are_also_first_nights_as_they_stood_at_the_upload(
    model: TrainedModel, site: LawSite
) -> None:
    """Where every photo is seen on its first day, nobody would otherwise learn how new photos are treated."""
    seen_at_once = site.examples.copy()
    first_night = seen_at_once["age_days"] <= 1
    seen_at_once.loc[first_night, "views_28d"] = 50.0
    evaluation = evaluate(model, seen_at_once)
    tested = seen_at_once[first_night & seen_at_once["day"].isin(pd.to_datetime(model.card["test_nights"]))]
    new = evaluation.examples[evaluation.examples["segment"] == "new"]
    assert set(tested["photo_id"]) <= set(new["photo_id"])
    assert (new["last_7_days_views"] == 0).all()
    counts = evaluation.table.groupby("segment")["examples"].first()
    assert counts["all"] == counts["known"] + len(new) - len(tested)


def test_a_segment_without_examples_has_no_scores_and_decides_nothing(
    model: TrainedModel, site: LawSite
) -> None:
    known_only = site.examples[(site.examples["views_28d"] > 0) & (site.examples["age_days"] > 1)]
    evaluation = evaluate(model, known_only)
    empty = score(evaluation, "new", "model")
    assert empty["examples"] == 0
    assert empty[["spearman", "spearman_low", "mae_log1p", "mae_log1p_high"]].isna().all()
    assert evaluation.promoted


def test_the_same_seed_gives_the_same_evaluation(
    site: LawSite, model: TrainedModel, evaluation: Evaluation
) -> None:
    again = evaluate(model, site.examples, best_possible=site.best)
    pd.testing.assert_frame_equal(again.table, evaluation.table)
    pd.testing.assert_frame_equal(again.importance, evaluation.importance)


def test_importance_finds_what_the_law_uses_and_not_what_is_constant(evaluation: Evaluation) -> None:
    importance = evaluation.importance.set_index("feature")["importance"]
    assert importance["p_cat"] > 0.002
    assert importance["p_cat"] > importance[["upload_weekday_sin", "upload_weekday_cos"]].max()
    assert importance["contrast"] == 0
    assert importance.is_monotonic_decreasing
