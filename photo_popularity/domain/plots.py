"""Pictures of the night's results as PNG bytes, one function per picture, all with one palette.

Numbers are made elsewhere (`evaluation.py`, `behavior.py`); a title here states what the picture shows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#22303c", "#6b7a86", "#e3e8ec"
BLUE, ORANGE, GREEN, VIOLET = "#2a6f97", "#e07a3f", "#4f9d69", "#8063a8"
OTHER_COLORS = (BLUE, ORANGE, GREEN, VIOLET, "#c44e61", "#b8942f", "#3fa7b0", MUTED)
SHOWN_FEATURES = 15
NIGHTS_NAMED = 8
DOTS_PER_INCH = 100
TOO_LONG = 1e8
DAILY_VIEWS = ("day", "views", "unique_visitors", "robot_views")
RANKING_IN_WORDS = (
    (0.7, "well"),
    (0.4, "fairly"),
    (0.1, "a little better than by chance"),
    (-1.0, "no better than by chance"),
)


def predicted_vs_actual(examples: pd.DataFrame) -> bytes:
    """Expected against actual views on held-out nights; `examples` as in `Evaluation.examples`."""
    figure, (known, new) = _canvas(4.8, columns=2)
    parts = {name: examples[examples["segment"] == name] for name in ("known", "new")}
    top = max(10.0, float(examples[["model", "actual"]].max().max()) * 1.5) if len(examples) else 10.0
    for axes, name, color in ((known, "known", BLUE), (new, "new", ORANGE)):
        part = parts[name]
        # a little noise apart from zero: counts would lie on top of each other
        jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(part)) * (part["actual"] < 20)
        alpha = float(np.clip(300 / max(len(part), 1), 0.08, 0.6))
        axes.scatter(part["model"], part["actual"] + jitter, s=12, color=color, alpha=alpha, linewidths=0)
        axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle=(0, (4, 3)))
        for scale in (axes.set_xscale, axes.set_yscale):
            scale("symlog", linthresh=1)
        axes.set(xlim=(0, top), ylim=(-0.3, top), xlabel="expected views in 7 days", ylabel="actual views")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_plain_number)
        label = f"{name}: {len(part):,} held-out examples, rank correlation {_rank_correlation(part):.2f}"
        axes.set_title(label, loc="left", fontsize=10, color=INK)
    return _png(figure, _finding(parts))


def feature_importance(importance: pd.DataFrame) -> bytes:
    """The features whose shuffling hurts most; `importance` as in `Evaluation.importance`."""
    top = importance.sort_values("importance", ascending=False).head(SHOWN_FEATURES).iloc[::-1]
    figure, (axes,) = _canvas(5.6)
    axes.barh(range(len(top)), top["importance"].clip(lower=0), color=BLUE, height=0.65)
    axes.set_yticks(range(len(top)), top["feature"], fontsize=9)
    axes.set_xlabel("growth of the error of log(1 + views) when the feature is shuffled")
    axes.grid(axis="y", visible=False)
    for row, value in enumerate(top["importance"]):
        axes.text(max(value, 0), row, f" {value:.3f}", va="center", fontsize=8.5, color=MUTED)
    axes.margins(x=0.1)
    best = top["feature"].iloc[-1] if len(top) else "no feature"
    return _png(figure, f"The model leans most on {best}")


def calibration(examples: pd.DataFrame) -> bytes:
    """Mean actual against mean expected views, in ten groups of rising expectation."""
    figure, (axes,) = _canvas(4.8)
    deviations = []
    for name, color in (("known", BLUE), ("new", ORANGE)):
        groups = _deciles(examples[examples["segment"] == name])
        if groups.empty:
            continue
        axes.errorbar(
            groups["expected"],
            groups["actual"],
            yerr=1.96 * groups["error"],
            color=color,
            marker="o",
            markersize=6,
            linewidth=1.2,
            capsize=3,
            label=f"{name} photos",
        )
        deviations.append(f"{name} {groups['actual'].mean() / max(groups['expected'].mean(), 1e-9) - 1:+.0%}")
    top = max(2.0, float(examples[["model", "actual"]].max().max())) if len(examples) else 2.0
    axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    for scale in (axes.set_xscale, axes.set_yscale):
        scale("symlog", linthresh=1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_plain_number)
    axes.set(xlim=(0, top), ylim=(0, top))
    axes.set(xlabel="mean expected views of a tenth of the examples", ylabel="mean actual views")
    axes.legend(frameon=False, loc="upper left")
    return _png(figure, f"Actual views compared with expected ones: {', '.join(deviations) or 'no examples'}")


def daily_views(behavior: pd.DataFrame) -> bytes:
    """Views, unique visitors and robots' views of the whole site on each day, of the columns DAILY_VIEWS."""
    per_day = behavior.groupby("day")[["views", "unique_visitors", "robot_views"]].sum()
    # drawn again with every late log file, and finding the margins takes as long as drawing
    figure, (axes,) = _canvas(4.2, margins={"left": 0.125, "right": 0.99, "top": 0.88, "bottom": 0.17})
    lines = (
        ("views", BLUE, "views by people"),
        ("unique_visitors", GREEN, "visitors, summed over photos"),
        ("robot_views", ORANGE, "views by robots"),
    )
    for column, color, label in lines:
        dashes = (0, (4, 2)) if column == "unique_visitors" else "-"
        marker = "o" if len(per_day) < 3 else None
        axes.plot(per_day.index, per_day[column], color=color, ls=dashes, marker=marker, lw=2, label=label)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("per day")
    axes.yaxis.set_major_formatter(_plain_number)
    _date_axis(axes)
    _legend_below(axes)
    people, robots = per_day["views"].sum(), per_day["robot_views"].sum()
    share = robots / max(people + robots, 1)
    mean = per_day["views"].mean() if len(per_day) else 0.0
    return _png(figure, f"People view photos {mean:,.0f} times a day; {share:.0%} of all views are robots'")


def contact_sheet(photos: Sequence[tuple[str, float, bytes]], *, columns: int = 5) -> bytes:
    """The given photos (photo_id, expected views, file bytes) in order; an unreadable one stays a grey tile."""
    rows = max(1, -(-len(photos) // columns))
    figure, tiles = _canvas(1.9 * rows + 0.5, columns=columns, rows=rows)
    for axes in tiles:
        axes.set_axis_off()
    for axes, (place, (photo_id, expected, data)) in zip(tiles, enumerate(photos, start=1), strict=False):
        axes.imshow(_thumbnail(data))
        axes.set_title(f"{place}. {photo_id}\n{expected:,.0f} views", fontsize=9, color=INK)
    return _png(
        figure,
        f"The {len(photos)} photos expected to be viewed most in the next seven days",
        limit_colors=True,
    )


def runtimes_over_nights(executions: pd.DataFrame) -> bytes:
    """Seconds each asset took on the days that something ran: stacked bars; `executions` has `asset`, `day`, `seconds`."""
    seconds = executions.pivot_table(index="day", columns="asset", values="seconds", aggfunc="sum").fillna(0)
    slowest = seconds.sum().sort_values(ascending=False).index
    shown = slowest[: len(OTHER_COLORS) - 1] if len(slowest) > len(OTHER_COLORS) else slowest
    figure, (axes,) = _canvas(4.4)
    bottom, places = np.zeros(len(seconds)), np.arange(len(seconds))
    parts = {str(asset): seconds[asset].to_numpy() for asset in shown}
    if len(shown) < len(slowest):
        parts["all others"] = seconds[slowest[len(shown) :]].sum(axis=1).to_numpy()
    for color, (asset, values) in zip(OTHER_COLORS, parts.items(), strict=False):
        axes.bar(places, values, bottom=bottom, color=color, width=0.8, label=asset)
        bottom = bottom + values
    axes.set_ylabel("seconds")
    axes.grid(axis="x", visible=False)
    # one place a night on which something ran, few enough names to be read
    named = places[:: max(len(places) // NIGHTS_NAMED, 1)]
    axes.set_xticks(named, [f"{seconds.index[place]:%-d %b}" for place in named])
    axes.set_xlim(-0.5 - 0.5 * max(8 - len(places), 0), len(places) - 0.5 + 0.5 * max(8 - len(places), 0))
    _legend_below(axes)
    if not len(slowest):
        return _png(figure, "No night has run yet")
    share = seconds[slowest[0]].sum() / max(bottom.sum(), 1e-9)
    return _png(
        figure,
        f"The steps of a day's runs take {np.median(bottom):,.1f} s; {slowest[0]} takes {share:.0%} of it",
    )


def _canvas(
    height: float, *, columns: int = 1, rows: int = 1, margins: Mapping[str, float] | None = None
) -> tuple[Figure, list[Axes]]:
    # matplotlib takes half a second to import; Figure by itself leaves pyplot's global state alone
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layout: Any = None if margins else "constrained"
    figure = Figure(figsize=(9, height), dpi=DOTS_PER_INCH, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    if margins:
        figure.subplots_adjust(**margins)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for one in axes:
        one.set_axisbelow(True)
        one.grid(color=GRID, linewidth=0.8)
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(MUTED)
        one.tick_params(colors=MUTED, labelsize=9)
        one.xaxis.label.set_color(INK)
        one.yaxis.label.set_color(INK)
    return figure, axes


def _png(figure: Figure, title: str, *, limit_colors: bool = False) -> bytes:
    from PIL import Image

    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    sink = io.BytesIO()
    # no software version or date: the same numbers should give the same bytes
    figure.savefig(sink, format="png", metadata={"Software": None})
    if not limit_colors:
        return sink.getvalue()
    # photos in full colour would make a contact sheet several times as large
    small = io.BytesIO()
    Image.open(sink).convert("RGB").quantize(192).save(small, format="PNG", optimize=True)
    return small.getvalue()


def _plain_number(value: float, _position: Any = None) -> str:
    """With all its digits as long as there is room for them beside an axis."""
    return f"{value:,.0f}" if abs(value) < TOO_LONG else f"{value / 1e9:,.5g} bn"


def _date_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=9, interval_multiples=True)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _legend_below(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            frameon=False,
            fontsize=9,
            ncols=4,
            loc="upper left",
            bbox_to_anchor=(0, -0.12),
            borderaxespad=0,
        )


def _rank_correlation(part: pd.DataFrame) -> float:
    if part["model"].nunique() < 2 or part["actual"].nunique() < 2:
        return float("nan")
    return float(part["model"].rank().corr(part["actual"].rank()))


def _finding(parts: dict[str, pd.DataFrame]) -> str:
    words = []
    for name, part in parts.items():
        correlation = _rank_correlation(part)
        if np.isnan(correlation):
            words.append(f"no {name} photos to rank")
        else:
            degree = next(word for least, word in RANKING_IN_WORDS if correlation >= least)
            words.append(f"{name} photos are ranked {degree}")
    sentence = ", ".join(words)
    return sentence[0].upper() + sentence[1:]


def _deciles(part: pd.DataFrame) -> pd.DataFrame:
    if part.empty:
        return pd.DataFrame(columns=["expected", "actual", "error"])
    place = part["model"].rank(method="first")
    group = np.ceil(place * min(10, len(part)) / len(part))
    groups = part.groupby(group).agg(
        expected=("model", "mean"), actual=("actual", "mean"), error=("actual", "sem")
    )
    return groups.fillna(0.0)


def _thumbnail(data: bytes) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (256, 256))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(ImageOps.fit(upright, (160, 160)))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.full((160, 160, 3), 225, dtype=np.uint8)
