"""A small environment with committed outputs, for tests of those who read: the real catalog and storage, few rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from partitions.file_sets import LOG_FILES, PHOTO_FILES
from photo_popularity.domain.schemas import SCHEMAS, TIMESTAMP
from resources.environment import Environment
from resources.installation import Installation, install
from resources.output_parts import ModelFile, parts_of
from resources.pipeline import Declaration, Pipeline
from resources.settings import Settings

FILE_STEPS = {"photo_content": PHOTO_FILES, "cat_dog_scores": PHOTO_FILES, "log_signals": LOG_FILES}
STEPS = (
    "photo_metadata",
    "photo_content",
    "cat_dog_scores",
    "log_signals",
    "behavior_signals",
    "popularity_model",
    "model_evaluation",
    "popularity_predictions",
)


def _declaration(name: str) -> Declaration:
    makes = ("log_signals", "quarantined_lines") if name == "log_signals" else (name,)
    return Declaration(name=name, makes=makes, reads={}, files=FILE_STEPS.get(name))


def an_environment(home: Path, *, name: str = "local", **settings: str) -> Environment:
    """An environment of the user `ann` below `home`."""
    return Environment(name=name, user="ann", home=home, settings=Settings(**settings))  # type: ignore[arg-type]


def an_installation(environment: Environment) -> Installation:
    """Its working set, with steps that read nothing."""
    return install(environment, Pipeline(tuple(_declaration(name) for name in STEPS)))


def a_frame(asset: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of an asset; columns that are not given are null."""
    frame = pd.DataFrame(rows, columns=list(SCHEMAS[asset].columns))
    for column, field in SCHEMAS[asset].columns.items():
        if pa.types.is_temporal(field.type):
            moments = pd.to_datetime(frame[column], utc=True)
            frame[column] = moments if field.type.equals(TIMESTAMP) else moments.dt.tz_localize(None)
    return frame


def commit(
    installation: Installation,
    asset: str,
    made: pd.DataFrame | ModelFile,
    *,
    partitions: list[str],
    run_id: str = "run-1",
    details: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Make it the current output of the partitions, as a run would."""
    step = installation.storage.step(
        run_id, installation.pipeline.by_asset[asset].name, keys=partitions, launched_by="ann"
    )
    installation.storage.begin(step, partitions)
    parts = {
        key: replace(part, detail=(details or {}).get(key, {}))
        for key, part in parts_of(asset, made, partitions).items()
    }
    installation.storage.commit({asset: parts}, step, seconds=dict.fromkeys(partitions, 0.0))
    installation.storage.forget(step)


def fail(
    installation: Installation, asset: str, error: str, *, partitions: list[str], run_id: str = "run-1"
) -> None:
    """Record that a run failed to make the partitions."""
    step = installation.storage.step(run_id, asset, keys=partitions, launched_by="ann")
    installation.storage.begin(step, partitions)
    installation.storage.fail(step, error)
    installation.storage.forget(step)


def behavior(day: str, **views: int) -> pd.DataFrame:
    """Rows of behavior_signals with these views by photo."""
    counts = dict.fromkeys(("likes", "downloads", "bytes", "external_referrals", "robot_views"), 0)
    rows = [{"day": day, "photo_id": p, "views": n, "unique_visitors": n, **counts} for p, n in views.items()]
    return a_frame("behavior_signals", rows)


def photo(photo_id: str, day: str, **columns: Any) -> pd.DataFrame:
    """One row of photo_metadata, uploaded at noon."""
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC)
    given = {
        "owner_id": "owner",
        "title": "A title",
        "file": f"{photo_id}.jpg",
        "uploaded_at": noon,
        **columns,
    }
    return a_frame("photo_metadata", [{"day": day, "photo_id": photo_id, **given}])


def score(photo_id: str, p_cat: float) -> pd.DataFrame:
    """One row of cat_dog_scores; what is no cat is a dog."""
    shares = {"p_cat": p_cat, "p_dog": 1 - p_cat, "p_neither": 0.0}
    row = {"file": f"{photo_id}.jpg", **shares, "model_version": "m"}
    return a_frame("cat_dog_scores", [row])


def predictions(day: str, **expected: float) -> pd.DataFrame:
    """Rows of popularity_predictions."""
    rows = [
        {"day": day, "photo_id": p, "expected_views": v, "is_new": False, "model_version": "m"}
        for p, v in expected.items()
    ]
    return a_frame("popularity_predictions", rows)


def evaluation(
    day: str, scores: Mapping[tuple[str, str], tuple[float, float]], *, promoted: bool
) -> pd.DataFrame:
    """Rows of model_evaluation from (correlation, error) by (segment, predictor), with intervals of 0.1 around each."""
    rows = []
    for (segment, predictor), (spearman, mae) in scores.items():
        row = {"day": day, "segment": segment, "predictor": predictor, "examples": 500, "model_version": "m"}
        for name, value in (("spearman", spearman), ("mae_log1p", mae)):
            row |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
        rows.append({**row, "promoted": promoted})
    return a_frame("model_evaluation", rows)


def a_model() -> ModelFile:
    """Some bytes with the card of a model."""
    card = {
        "estimator": "an estimator",
        "target": "views",
        "seed": 0,
        "trained_on": {"from": "2026-10-01", "until": "2026-11-01", "examples": 900},
    }
    return ModelFile(np.arange(9, dtype=np.uint8).tobytes(), "popularity-abc", card)
