"""The report's sections about results: the model against its baselines, and the photos expected to be most popular.

Plain words for what the numbers show belong here; the numbers themselves are made in `domain/evaluation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from photo_popularity.domain.evaluation import BASELINES, MIN_EXAMPLES_TO_JUDGE
from photo_popularity.query import run_query
from photo_popularity.text import in_one_line, shortened
from resources.environment import Environment

PREDICTORS = {
    "model": "the model",
    "last_7_days_views": "views of the last 7 days",
    "owner_mean": "mean of the owner's photos",
    "age_mean": "mean of photos that old",
    "best_possible": "best possible",
}
SEGMENTS = ("known", "new")
METRICS = {"ranking": "spearman", "error": "mae_log1p"}
# what the ten photos' columns take beside photo, title and owner
OTHER_CHARACTERS = 54

MOST_POPULAR = """
SELECT p.photo_id, title, owner_id, p_cat, p_dog, p_neither, expected_views, is_new,
       date_diff('second', uploaded_at, (p.day + INTERVAL 1 DAY)::TIMESTAMP AT TIME ZONE 'UTC') / 86400.0 AS age_days
FROM popularity_predictions p
LEFT JOIN photo_metadata m ON m.photo_id = p.photo_id
LEFT JOIN cat_dog_scores s ON s.file = m.file
WHERE p.day = DATE '{day}'
ORDER BY expected_views DESC, p.photo_id
LIMIT 10
"""

Row = Mapping[str, Any]


def table_of(*columns: str, left: Sequence[str] = ()) -> Table:
    """An empty table in the report's style: numbers to the right, the columns of `left` to the left, none wrapped."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="left" if column in left else "right", no_wrap=True, overflow="ellipsis"
        )
    return table


def heading(console: Console, title: str, *, style: str = "bold cyan") -> None:
    """The title of a section."""
    console.print()
    console.print(Text(title, style=style))


def print_model(console: Console, environment: Environment, day: date) -> None:
    """How well the night's model did on days that it had not seen, and whether that beats each baseline."""
    heading(console, "The model against its baselines, on nights it has not seen")
    rows = run_query(environment, f"FROM model_evaluation WHERE day = DATE '{day}'").to_pylist()
    if not rows:
        console.print(f"No evaluation for {day}: see the failures above, or photo-popularity history.")
        return
    scores = {(row["segment"], row["predictor"]): row for row in rows}
    table = table_of("", "rank correlation", "error of log(1+views)", left=("",))
    for segment in SEGMENTS:
        table.add_row(
            Text(f"{segment} photos ({scores[segment, 'model']['examples']:,} examples)", style="bold")
        )
        for predictor, words in PREDICTORS.items():
            if row := scores.get((segment, predictor)):
                figures = (_with_interval(row, metric) for metric in METRICS.values())
                table.add_row(f"  {words}", *figures, style="green" if predictor == "model" else None)
    console.print(table)
    note = (
        "In brackets: 95% intervals. New photos had no view yet. Higher correlation, lower error are better."
    )
    console.print(Text(note, style="dim"))
    for sentence in verdict(scores):
        console.print(sentence)


def verdict(scores: Mapping[tuple[str, str], Row]) -> Iterator[str]:
    """Plain sentences: what the model beats on known and on new photos, and what that is worth."""
    promoted = scores["known", "model"]["promoted"]
    for segment in SEGMENTS:
        model = scores[segment, "model"]
        if model["examples"] < MIN_EXAMPLES_TO_JUDGE:
            yield f"{segment.capitalize()} photos: too few examples to judge."
            continue
        rivals = [scores[segment, name] for name in BASELINES if (segment, name) in scores]
        for word, metric in METRICS.items():
            yield f"{segment.capitalize()} photos, {word}: {_compared(model, rivals, metric, promoted=promoted)}."
    if promoted:
        yield "Promoted: on the same resampled photos it beats every baseline with 95% confidence, in all of these."
    else:
        yield "Not promoted: that takes beating every baseline with 95% confidence, in all of these."


def _compared(model: Row, rivals: Sequence[Row], metric: str, *, promoted: bool) -> str:
    """Which baselines the model leads clearly, within chance, or not at all.

    The promotion compares both on the same resampled photos, which tells more than whether their intervals overlap.
    """
    better = 1 if metric == "spearman" else -1
    groups: dict[str, list[str]] = {}
    for rival in rivals:
        lead = better * (model[metric] - rival[metric])
        apart = promoted or (
            model[f"{metric}_low"] > rival[f"{metric}_high"]
            or model[f"{metric}_high"] < rival[f"{metric}_low"]
        )
        word = (
            "not better than"
            if not lead > 0
            else "clearly better than"
            if apart
            else "better, but within chance, than"
        )
        groups.setdefault(word, []).append(PREDICTORS[rival["predictor"]])
    return "; ".join(
        f"{word} {'every baseline' if len(names) == len(rivals) else ', '.join(names)}"
        for word, names in groups.items()
    )


def _with_interval(row: Row, metric: str) -> str:
    return f"{_number(row[metric])} [{_number(row[f'{metric}_low'])}, {_number(row[f'{metric}_high'])}]"


def _number(value: float | None) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.3f}"


def print_most_popular(console: Console, environment: Environment, day: date) -> None:
    """The ten photos that the night expects to be viewed most."""
    console.print()
    console.print(
        Text("The ten photos expected to be viewed most in the coming seven days", style="bold cyan")
    )
    rows = run_query(environment, MOST_POPULAR.format(day=day)).to_pylist()
    if not rows:
        console.print(f"No predictions for {day}: see the failures above, or photo-popularity history.")
        return
    left = ("photo", "title", "owner", "shows")
    table = table_of("", "photo", "title", "owner", "shows", "days old", "expected views", left=left)
    names = max(len(row["photo_id"]) for row in rows) + max(len(row["owner_id"] or "") for row in rows)
    title_characters = min(max(console.width - OTHER_CHARACTERS - names, 8), 48)
    for place, row in enumerate(rows, start=1):
        table.add_row(
            str(place),
            Text(in_one_line(row["photo_id"])),
            Text(shortened(row["title"] or "", title_characters)),
            Text(in_one_line(row["owner_id"] or "")),
            _shows(row),
            f"{row['age_days']:.1f}" if row["age_days"] is not None else "",
            Text(f"{row['expected_views']:,.1f}", style="bold"),
        )
    console.print(table)


def _shows(row: Row) -> str:
    shares = {"cat": row["p_cat"], "dog": row["p_dog"], "neither": row["p_neither"]}
    known = {animal: share for animal, share in shares.items() if share is not None}
    if not known:
        return "unscored"
    animal = max(known, key=lambda name: known[name])
    return f"{animal} {known[animal]:.0%}"
