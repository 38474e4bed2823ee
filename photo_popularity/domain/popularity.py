"""The popularity model: its examples, its training and what it predicts.

How good it is belongs to `evaluation.py`, how it becomes bytes to `model_files.py`, what is known of a photo
to `features.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.features import FEATURES, as_uploaded, is_new
from photo_popularity.domain.model_files import dump_model, load_model

LABEL_DAYS = 7
LABEL = "views_next_7_days"
MAX_TEST_NIGHTS = 7
MIN_TRAINING_NIGHTS = 7
FIRST_NIGHT_DAYS = 1

# A Poisson loss fits the mean itself. A squared error on log1p(views) fits something near the median: the one
# factor that brings its mean back was measured 9% too high for known photos and 13% too low for new ones.
HYPER_PARAMETERS: dict[str, Any] = {
    "loss": "poisson",
    "max_iter": 200,
    "learning_rate": 0.05,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 20,
    "max_features": 0.3,
    "l2_regularization": 1.0,
    "early_stopping": False,
}


@dataclass(frozen=True)
class TrainedModel:
    """Two estimators with one recipe, and the card that says how they came to be.

    `holdout` has seen no example whose label reaches into the test nights and serves evaluation; `final` has
    seen all examples and predicts.
    """

    holdout: Any
    final: Any
    card: dict[str, Any]

    @cached_property
    def data(self) -> bytes:
        """The model file; the same examples, seed and library versions give the same bytes."""
        return dump_model({"holdout": self.holdout, "final": self.final, "card": self.card})

    @cached_property
    def version(self) -> str:
        """Name of these bytes; predictions and evaluations carry it."""
        return f"popularity-{hashlib.sha256(self.data).hexdigest()[:12]}"


def read_model(data: bytes, *, name: str = "popularity model") -> TrainedModel:
    """The model in a file's bytes; raises InputError when they are something else."""
    content = load_model(data, name=name)
    if not isinstance(content, dict) or set(content) != {"holdout", "final", "card"}:
        raise InputError(f"{name}: holds no popularity model; train it again for this night.")
    features = content["card"].get("features")
    if features != list(FEATURES):
        raise InputError(
            f"{name}: was trained on other features than today's; train it again for this night."
        )
    return TrainedModel(**content)


def build_examples(
    nights: Sequence[pd.Timestamp], *, features: pd.DataFrame, behavior: pd.DataFrame
) -> pd.DataFrame:
    """For each night D the features of day D-7 with the views of D-6 to D as the label.

    A photo deleted meanwhile stays an example, with the views it got: leaving it out would use the future.
    """
    wanted = pd.DatetimeIndex(sorted({pd.Timestamp(night) for night in nights})).as_unit("us")
    label_window = pd.Timedelta(days=LABEL_DAYS)
    examples = features[features["day"].isin(wanted - label_window)].rename(columns={"day": "feature_day"})
    views = behavior[["day", "photo_id", "views"]]
    due = [
        views.assign(feature_day=views["day"] - pd.Timedelta(days=ahead))
        for ahead in range(1, LABEL_DAYS + 1)
    ]
    labels = pd.concat(due).groupby(["feature_day", "photo_id"], as_index=False)["views"].sum()
    examples = examples.merge(labels, on=["feature_day", "photo_id"], how="left", validate="one_to_one")
    examples[LABEL] = examples.pop("views").fillna(0).astype("float64")
    examples["day"] = examples["feature_day"] + label_window
    ordered = examples[["day", "feature_day", "photo_id", *FEATURES, LABEL]]
    return ordered.sort_values(["day", "photo_id"], ignore_index=True)


def with_arrivals(examples: pd.DataFrame) -> pd.DataFrame:
    """The examples, and each photo's first night once more as the photo stood at its upload, without a view.

    By the end of its first day nearly every photo has been seen: without these rows a model would learn
    nothing of photos that nobody has seen yet. A photo that truly had no view is not repeated.
    """
    first_night = (examples["age_days"] <= FIRST_NIGHT_DAYS) & ~is_new(examples)
    return pd.concat([examples, as_uploaded(examples[first_night])], ignore_index=True)


def held_out_nights(examples: pd.DataFrame, *, night: pd.Timestamp) -> list[pd.Timestamp]:
    """The last nights of examples, at most 7, that leave at least 7 earlier nights to learn from.

    An example may be learnt from when its label was complete by the feature day of the first test night: no
    day counts in both. Raises InputError when there are too few nights.
    """
    days = sorted(pd.Timestamp(day) for day in examples.loc[examples["day"] <= night, "day"].unique())
    for count in range(min(MAX_TEST_NIGHTS, len(days)), 0, -1):
        last_known = days[-count] - pd.Timedelta(days=LABEL_DAYS)
        if sum(day <= last_known for day in days) >= MIN_TRAINING_NIGHTS:
            return days[-count:]
    needed = MIN_TRAINING_NIGHTS + LABEL_DAYS
    raise InputError(
        f"popularity_model {night:%Y-%m-%d}: {len(days)} nights of training examples, but {needed} in a row "
        f"are needed (logs of {needed + LABEL_DAYS} days); take a later night or add earlier logs."
    )


def train_model(examples: pd.DataFrame, *, night: pd.Timestamp, seed: int = 0) -> TrainedModel:
    """Fit both estimators on what was known at the end of `night`; raises InputError for too few nights."""
    known = examples[examples["day"] <= night]
    tests = held_out_nights(known, night=night)
    before_tests = known[known["day"] <= tests[0] - pd.Timedelta(days=LABEL_DAYS)]
    card = {
        "night": _iso(night),
        "target": f"mean views by people in the {LABEL_DAYS} days after the feature day",
        "trained_on": _span(known),
        "holdout_trained_on": _span(before_tests),
        "test_nights": [_iso(day) for day in tests],
        "features": list(FEATURES),
        "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
        "hyper_parameters": dict(HYPER_PARAMETERS),
        "seed": seed,
        "libraries": _library_versions(),
    }
    return TrainedModel(holdout=_fit(before_tests, seed), final=_fit(known, seed), card=card)


def expected_views(estimator: Any, features: pd.DataFrame) -> NDArray[np.float64]:
    """Mean views that the estimator expects in the seven days after each row's day, never negative."""
    if features.empty:
        return np.zeros(0)
    with _one_thread():
        predicted = estimator.predict(features[list(FEATURES)].to_numpy(dtype=np.float64))
    return np.maximum(np.asarray(predicted, dtype=np.float64), 0.0)


def predict(model: TrainedModel, features: pd.DataFrame) -> pd.DataFrame:
    """Expected views in the next seven days for each row of features."""
    predictions = features[["day", "photo_id"]].assign(
        expected_views=expected_views(model.final, features),
        is_new=is_new(features),
        model_version=model.version,
    )
    return predictions.sort_values(["day", "photo_id"], ignore_index=True)


def _fit(examples: pd.DataFrame, seed: int) -> Any:
    # scikit-learn takes a second to import, and most callers only read predictions
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows = with_arrivals(examples)
    if not (rows[LABEL] > 0).any():
        raise InputError(
            f"training_examples up to {_iso(examples['day'].max())}: not one view in {len(examples)} "
            "examples; check that the logs' photo paths match the photo_id column."
        )
    values = rows[list(FEATURES)].to_numpy(dtype=np.float64, copy=True)
    # scikit-learn can't bin a feature nobody knows; a constant one is never split on, whatever it is later
    values[:, np.isnan(values).all(axis=0)] = 0.0
    estimator = HistGradientBoostingRegressor(**HYPER_PARAMETERS, random_state=seed)
    with _one_thread():
        return estimator.fit(values, rows[LABEL].to_numpy())


def _one_thread() -> AbstractContextManager[Any]:
    """Keeps scikit-learn to one thread.

    Sums over threads round differently, so the bytes of a model would depend on the number of cores. On a busy machine
    several threads also wait for each other: the same fit was measured at 2.7 s with one and at 65 s with four.
    """
    from threadpoolctl import threadpool_limits

    return cast("AbstractContextManager[Any]", threadpool_limits(limits=1, user_api="openmp"))


def _span(examples: pd.DataFrame) -> dict[str, Any]:
    days = examples["feature_day"]
    return {"from": _iso(days.min()), "until": _iso(days.max()), "examples": len(examples)}


def _iso(day: pd.Timestamp) -> str:
    return f"{day:%Y-%m-%d}"


def _library_versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "pandas", "scikit-learn")}
