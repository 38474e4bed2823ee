"""How good a popularity model is on nights it has not seen, against baselines and with intervals.

Only numbers: pictures belong to `plots.py`, training to `popularity.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from photo_popularity.domain.features import FEATURES, is_new
from photo_popularity.domain.popularity import (
    LABEL,
    LABEL_DAYS,
    TrainedModel,
    expected_views,
    with_arrivals,
)

SEGMENTS = ("all", "known", "new")
BASELINES = ("last_7_days_views", "owner_mean", "age_mean")
METRIC_DIGITS = 6
RESAMPLES = 600
RESAMPLES_AT_ONCE = 50
MIN_EXAMPLES_TO_JUDGE = 30
IMPORTANCE_REPEATS = 3
IMPORTANCE_ROWS = 3000
OLDEST_AGE_DAYS = 28

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """The verdict on one night's model.

    `table` has the columns of model_evaluation. `examples` has one row per held-out example: `segment` (known
    or new), `photo_id`, `feature_day`, `actual`, and a column of expected views for each predictor.
    `importance` has `feature` and `importance`: how much the error grows when that feature is shuffled.
    """

    table: pd.DataFrame
    examples: pd.DataFrame
    importance: pd.DataFrame
    promoted: bool


@dataclass(frozen=True)
class _Scores:
    """A predictor's two metrics on a segment, and on each resample of its photos."""

    spearman: float
    mae: float
    spearman_resampled: Array
    mae_resampled: Array


def evaluate(
    model: TrainedModel, examples: pd.DataFrame, *, seed: int = 0, best_possible: pd.Series | None = None
) -> Evaluation:
    """Score the model's holdout estimator and the baselines on the model's test nights.

    Segments: `known` photos had a view by the end of the feature day. `new` ones had none: those that truly
    had none, and each photo's first night once more as it stood at its upload. `all` is every example as it
    is. `best_possible` (true expectations, indexed like `examples`) is scored too where a law is known, and
    decides nothing. All scores are of the mean that is predicted, also the errors of log1p(views).
    """
    rows = _predictions(model, examples, best_possible)
    predictors = ["model", *BASELINES] + (["best_possible"] if best_possible is not None else [])
    scores = {
        (segment, name): score
        for segment in SEGMENTS
        for name, score in _score(_of_segment(rows, segment), predictors, seed=seed).items()
    }
    promoted = _is_promoted(rows, scores)
    night = pd.Timestamp(model.card["night"])
    lines = [
        {
            "day": night,
            "segment": segment,
            "predictor": name,
            "examples": len(_of_segment(rows, segment)),
            **_with_intervals(score),
            "promoted": promoted,
            "model_version": model.version,
        }
        for (segment, name), score in scores.items()
    ]
    table = pd.DataFrame(lines).astype({"day": "datetime64[us]"})
    table = table.sort_values(["day", "segment", "predictor"], ignore_index=True)
    shown = rows[["segment", "photo_id", "feature_day", "actual", *predictors]]
    return Evaluation(table, shown, _importance(model, rows, seed=seed), promoted)


def holdout_metrics(model: TrainedModel, examples: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What the model's holdout estimator reaches on its test nights, by segment: for the model's card.

    A segment without examples is left out. `evaluate` has the intervals, and the baselines beside it.
    """
    rows = _predictions(model, examples, None)
    parts = {segment: _of_segment(rows, segment) for segment in SEGMENTS}
    scores = {
        segment: _score(part, ["model"], seed=0, resamples=0)["model"]
        for segment, part in parts.items()
        if len(part)
    }
    return {
        segment: {"examples": len(parts[segment]), "spearman": score.spearman, "mae_log1p": score.mae}
        for segment, score in scores.items()
    }


def _predictions(
    model: TrainedModel, examples: pd.DataFrame, best_possible: pd.Series | None
) -> pd.DataFrame:
    tests = pd.DatetimeIndex([pd.Timestamp(day) for day in model.card["test_nights"]])
    if best_possible is not None:
        examples = examples.assign(best_possible=best_possible)
    as_they_are = examples[examples["day"].isin(tests)]
    rows = with_arrivals(as_they_are)
    last_known = tests.min() - pd.Timedelta(days=LABEL_DAYS)
    learnt = examples[examples["day"] <= last_known]
    overall = learnt[LABEL].mean()
    by_age = learnt.groupby(_whole_age(learnt))[LABEL].mean()
    return rows.assign(
        actual=rows[LABEL],
        segment=np.where(is_new(rows), "new", "known"),
        is_arrival=np.arange(len(rows)) >= len(as_they_are),
        model=expected_views(model.holdout, rows),
        last_7_days_views=rows["views_7d"],
        owner_mean=(rows["owner_views_per_photo_day"] * LABEL_DAYS).fillna(overall),
        age_mean=_whole_age(rows).map(by_age).fillna(overall),
    )


def _whole_age(rows: pd.DataFrame) -> pd.Series:
    return rows["age_days"].floordiv(1).clip(0, OLDEST_AGE_DAYS)


def _of_segment(rows: pd.DataFrame, segment: str) -> pd.DataFrame:
    return rows[~rows["is_arrival"]] if segment == "all" else rows[rows["segment"] == segment]


def _score(
    rows: pd.DataFrame, predictors: list[str], *, seed: int, resamples: int = RESAMPLES
) -> dict[str, _Scores]:
    """Each predictor's scores, all on the same resamples, so that their differences can be paired."""
    actual = rows["actual"].to_numpy(dtype=np.float64)
    expected = rows[predictors].to_numpy(dtype=np.float64)
    errors = np.abs(np.log1p(expected) - np.log1p(actual)[:, None])
    rank_actual, rankers = _ranker(actual), [_ranker(column) for column in expected.T]
    spearman, mae = [], []
    for weights in _weights(rows["photo_id"], seed=seed, resamples=resamples):
        target = rank_actual(weights)
        spearman.append([_correlation(target, rank(weights), weights) for rank in rankers])
        mae.append((weights @ errors / np.maximum(weights.sum(axis=1), 1)[:, None]).T)
    spearman_of, mae_of = np.concatenate(spearman, axis=1), np.concatenate(mae, axis=1)
    if rows.empty:
        spearman_of, mae_of = np.full_like(spearman_of, np.nan), np.full_like(mae_of, np.nan)
    return {
        name: _Scores(float(s[0]), float(m[0]), s[1:], m[1:])
        for name, s, m in zip(predictors, spearman_of, mae_of, strict=True)
    }


def _weights(photo_ids: pd.Series, *, seed: int, resamples: int) -> Iterator[Array]:
    """How often each row counts: once each, then in every bootstrap resample of photos, block by block.

    The rows of one photo are no independent evidence, so photos are drawn, with all their rows.
    """
    yield np.ones((1, len(photo_ids)))
    photo, names = pd.factorize(photo_ids)
    rng = np.random.default_rng(seed)
    for start in range(0, resamples if len(names) else 0, RESAMPLES_AT_ONCE):
        block = min(RESAMPLES_AT_ONCE, resamples - start)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=block)
        yield drawn.astype(np.float64)[:, photo]


def _ranker(values: Array) -> Callable[[Array], Array]:
    """Average ranks of `values` when value i counts weights[:, i] times: sorted once, ranked per block."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, int)
    group = np.empty(len(values), dtype=np.int64)
    group[order] = np.cumsum(np.isin(np.arange(len(values)), starts)) - 1

    def ranks(weights: Array) -> Array:
        if not len(values):
            return weights
        mass = np.add.reduceat(weights[:, order], starts, axis=1)
        middle = np.cumsum(mass, axis=1) - mass / 2
        return np.asarray(middle[:, group], dtype=np.float64)

    return ranks


def _correlation(left: Array, right: Array, weights: Array) -> Array:
    """Weighted Pearson correlation per row; 0 where one side is constant and so ranks nothing."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    left = left - (weights * left).sum(axis=1, keepdims=True) / total
    right = right - (weights * right).sum(axis=1, keepdims=True) / total
    covariance = (weights * left * right).sum(axis=1)
    scale = np.sqrt((weights * left**2).sum(axis=1) * (weights * right**2).sum(axis=1))
    correlation: Array = np.divide(covariance, scale, out=np.zeros(len(scale)), where=scale > 1e-9)
    return correlation


def _with_intervals(score: _Scores) -> dict[str, float]:
    def ends(resampled: Array) -> tuple[float, float]:
        if not len(resampled):
            return (np.nan, np.nan)
        low, high = np.quantile(resampled, [0.025, 0.975])
        return float(low), float(high)

    spearman, mae = ends(score.spearman_resampled), ends(score.mae_resampled)
    figures = {
        "spearman": score.spearman,
        "spearman_low": spearman[0],
        "spearman_high": spearman[1],
        "mae_log1p": score.mae,
        "mae_log1p_low": mae[0],
        "mae_log1p_high": mae[1],
    }
    # the last digits of a sum depend on how many processors share it
    return {name: round(float(value), METRIC_DIGITS) for name, value in figures.items()}


def _is_promoted(rows: pd.DataFrame, scores: dict[tuple[str, str], _Scores]) -> bool:
    """Whether the model beats each baseline in both metrics with 95% confidence, on paired resamples.

    Known and new photos each must hold, as far as there are enough of them to judge.
    """
    judged = [s for s in ("known", "new") if len(_of_segment(rows, s)) >= MIN_EXAMPLES_TO_JUDGE]
    gains = []
    for segment in judged:
        model = scores[segment, "model"]
        for baseline in (scores[segment, name] for name in BASELINES):
            gains.append(np.quantile(model.spearman_resampled - baseline.spearman_resampled, 0.025))
            gains.append(np.quantile(baseline.mae_resampled - model.mae_resampled, 0.025))
    return bool(gains and min(gains) > 0)


def _importance(model: TrainedModel, rows: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Growth of the error of log1p(views) when one feature is shuffled among the held-out rows."""
    rng = np.random.default_rng(seed)
    chosen = rows.sample(min(len(rows), IMPORTANCE_ROWS), random_state=seed)
    features, actual = chosen[list(FEATURES)], np.log1p(chosen["actual"].to_numpy(dtype=np.float64))

    def error(table: pd.DataFrame) -> float:
        expected = expected_views(model.holdout, table)
        return float(np.abs(np.log1p(expected) - np.tile(actual, len(table) // len(actual))).mean())

    undisturbed = error(features)
    growth = {}
    for name in FEATURES:
        shuffled = pd.concat([features] * IMPORTANCE_REPEATS, ignore_index=True)
        column = features[name].to_numpy()
        shuffled[name] = np.concatenate([rng.permutation(column) for _ in range(IMPORTANCE_REPEATS)])
        growth[name] = error(shuffled) - undisturbed
    frame = pd.DataFrame({"feature": list(growth), "importance": list(growth.values())})
    return frame.sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)
