"""Pictures are valid, wide enough to read, small, and don't fail where there is little to show."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from photo_popularity.domain import plots
from photo_popularity.domain.features import FEATURES

MAX_BYTES = 200_000


def examples(count: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    expected = rng.lognormal(2, 1.5, count)
    return pd.DataFrame(
        {
            "segment": np.where(np.arange(count) % 8 == 0, "new", "known"),
            "photo_id": [f"p{n}" for n in range(count)],
            "model": expected,
            "actual": rng.poisson(expected).astype("float64"),
        }
    )


def importance() -> pd.DataFrame:
    return pd.DataFrame({"feature": list(FEATURES), "importance": 1 / np.arange(1, len(FEATURES) + 1)})


def behavior(days: int = 60) -> pd.DataFrame:
    day = pd.date_range("2026-03-01", periods=days).as_unit("us")
    return pd.DataFrame({"day": day, "photo_id": "a", "views": 40, "unique_visitors": 30, "robot_views": 10})


def executions(assets: int = 10, nights: int = 14) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "asset": f"asset_{a}",
                "day": pd.Timestamp("2026-03-01") + pd.Timedelta(days=n),
                "seconds": 1.0 + a,
            }
            for a in range(assets)
            for n in range(nights)
        ],
        columns=["asset", "day", "seconds"],
    )


def jpeg(color: tuple[int, int, int] = (200, 120, 40)) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (300, 200), color).save(sink, "JPEG")
    return sink.getvalue()


DRAWINGS: dict[str, Callable[[], bytes]] = {
    "predicted_vs_actual": lambda: plots.predicted_vs_actual(examples()),
    "predicted_vs_actual of nothing": lambda: plots.predicted_vs_actual(examples(0)),
    "predicted_vs_actual of one": lambda: plots.predicted_vs_actual(examples(1)),
    "predicted_vs_actual of many": lambda: plots.predicted_vs_actual(examples(20_000)),
    "feature_importance": lambda: plots.feature_importance(importance()),
    "feature_importance of nothing": lambda: plots.feature_importance(importance().iloc[:0]),
    "calibration": lambda: plots.calibration(examples()),
    "calibration of nothing": lambda: plots.calibration(examples(0)),
    "calibration of three": lambda: plots.calibration(examples(3)),
    "daily_views": lambda: plots.daily_views(behavior()),
    "daily_views of one day": lambda: plots.daily_views(behavior(1)),
    "daily_views of nothing": lambda: plots.daily_views(behavior(0)),
    "contact_sheet": lambda: plots.contact_sheet([(f"p{n}", 9.5 - n, jpeg()) for n in range(7)]),
    "contact_sheet of nothing": lambda: plots.contact_sheet([]),
    "contact_sheet of no image": lambda: plots.contact_sheet([("p1", 3.0, b"no image"), ("p2", 2.0, b"")]),
    "runtimes_over_nights": lambda: plots.runtimes_over_nights(executions()),
    "runtimes_over_nights of one": lambda: plots.runtimes_over_nights(executions(1, 1)),
    "runtimes_over_nights of nothing": lambda: plots.runtimes_over_nights(executions(0)),
}


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_picture_is_a_small_png_900_pixels_wide(drawing: str) -> None:
    data = DRAWINGS[drawing]()
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.width) == ("PNG", 900)
    assert len(data) < MAX_BYTES
    extremes = image.convert("L").getextrema()
    assert extremes[0] != extremes[1]


@pytest.mark.parametrize("views", [0, 40, 99_000_000, 1_300_000_000, 2_000_000_000_000])
def test_the_numbers_beside_daily_views_have_room(views: int, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "_png", lambda figure, title: figures.append(figure))
    plots.daily_views(behavior().assign(views=views))
    [figure] = figures
    figure.draw_without_rendering()
    [axes] = figure.axes
    box = axes.yaxis.get_tightbbox()
    assert box is not None
    assert box.x0 >= 0


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert plots.predicted_vs_actual(examples()) == plots.predicted_vs_actual(examples())


def test_the_contact_sheet_shows_the_photos_themselves() -> None:
    sheet = Image.open(io.BytesIO(plots.contact_sheet([("red", 3.0, jpeg((255, 0, 0)))]))).convert("RGB")
    pixels = np.asarray(sheet).astype(int)
    red = (pixels[..., 0] > 240) & (pixels[..., 1] < 20) & (pixels[..., 2] < 20)
    assert red.sum() > 5_000


def test_a_picture_leaves_the_drawing_state_of_the_process_alone() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    plots.calibration(examples())
    assert pyplot.get_fignums() == before
