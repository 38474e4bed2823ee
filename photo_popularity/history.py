"""Every execution that an environment has seen, for post-mortem: as a table, as JSON lines, as a picture.

It reads the catalog alone, so it tells what happened even when Dagster's database is lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from photo_popularity.catalog_tables import ASSETS
from photo_popularity.domain.errors import InputError
from photo_popularity.text import counted, in_one_line, size
from resources.environment import Environment
from resources.outputs import read_outputs

FIELDS = (
    "asset",
    "partition",
    "status",
    "run_id",
    "environment",
    "launched_by",
    "started_at",
    "seconds",
    "rows",
    "bytes",
    "content_version",
    "error",
    "parameters",
    "log",
)
FORMATS = ("table", "json")
ERRORS_SHOWN = 3

Row = Mapping[str, Any]


def history_rows(
    environment: Environment, *, assets: Sequence[str] = (), run_id: str = "", limit: int | None = None
) -> list[dict[str, Any]]:
    """Executions, newest first, each with `FIELDS`: `started_at` in ISO 8601, `seconds` its share of its step's time.

    Raises InputError for an asset or a run that does not exist.
    """
    unknown = sorted(set(assets) - set(ASSETS))
    if unknown:
        raise InputError(f"no asset is named {', '.join(unknown)}; known are {', '.join(ASSETS)}")
    executions = read_outputs(environment).catalog.executions(assets=assets, run_id=run_id, limit=limit)
    if run_id and not executions:
        raise InputError(f"no execution belongs to run {run_id!r}; `photo-popularity history` names the runs")
    return [
        {name: getattr(execution, name) for name in FIELDS} | {"started_at": execution.started_at.isoformat()}
        for execution in executions
    ]


def render_history(rows: Sequence[Row], form: str, *, every: bool = False, width: int | None = None) -> str:
    """The rows as text. `json` is one line an execution; `table` one line for what a run did with an asset.

    With `every`, the table has a line for each execution too. `width` is that of the terminal, None for no limit.
    """
    if form == "json":
        return "\n".join(json.dumps(dict(row), ensure_ascii=False) for row in rows)
    if form == "table":
        lines = list(_lines(rows, every=every)) or ["No executions yet; `photo-popularity run` makes some."]
        return "\n".join(
            line if width is None or len(line) <= width else line[: width - 1] + "…" for line in lines
        )
    raise InputError(f"{form!r} is no format of the history; use one of {', '.join(FORMATS)}")


def picture_of_runtimes(environment: Environment, path: Path) -> None:
    """Write a PNG of how many seconds each asset took, night by night; raises InputError when nothing ran yet."""
    # pandas and matplotlib take a second that the other formats need not wait for
    import pandas as pd

    from photo_popularity.domain.plots import runtimes_over_nights

    done = [row for row in history_rows(environment) if row["seconds"] is not None]
    if not done:
        raise InputError(
            f"{environment.label}: nothing has run yet, so there is no picture; run the night first"
        )
    frame = pd.DataFrame(done, columns=list(FIELDS))
    started = pd.to_datetime(frame["started_at"], format="ISO8601", utc=True)
    frame["day"] = started.dt.tz_localize(None).dt.normalize()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(runtimes_over_nights(frame))


def _lines(rows: Sequence[Row], *, every: bool) -> Iterator[str]:
    """A heading for each run, then its assets in the order in which they started."""
    for run_id, executions in _by_run(rows).items():
        first = executions[0]
        yield (
            f"{_moment(first['started_at'])}  run {run_id}  "
            f"{first['environment']}, by {first['launched_by']}, {_seconds(executions)}"
        )
        for (asset, status), group in groupby(executions, key=lambda row: (row["asset"], row["status"])):
            parts = list(group)
            for part in [[row] for row in parts] if every else [parts]:
                yield _line(asset, status, part)
            yield from _errors(parts)
        yield ""


def _by_run(rows: Sequence[Row]) -> dict[str, list[Row]]:
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(row["run_id"], []).append(row)
    started = {(row["run_id"], row["asset"]): row["started_at"] for row in rows}

    def order(row: Row) -> tuple[str, str, str, str]:
        return (started[row["run_id"], row["asset"]], row["asset"], row["status"], row["partition"])

    return {run_id: sorted(executions, key=order) for run_id, executions in runs.items()}


def _line(asset: str, status: str, rows: Sequence[Row]) -> str:
    made = [row for row in rows if row["rows"] is not None]
    figures = (
        f"{sum(row['rows'] for row in made):>9,} rows {size(sum(row['bytes'] for row in made)):>9}"
        if made
        else ""
    )
    return f"  {asset:<22} {status:<9} {_seconds(rows):>8} {figures:<24}  {_partitions(rows)}".rstrip()


def _partitions(rows: Sequence[Row]) -> str:
    keys = sorted(row["partition"] for row in rows)
    return keys[0] if len(keys) == 1 else f"{len(keys):,}: {keys[0]} … {keys[-1]}"


def _errors(rows: Sequence[Row]) -> Iterator[str]:
    errors: dict[str, Row] = {row["error"]: row for row in rows if row["error"]}
    for error, row in list(errors.items())[:ERRORS_SHOWN]:
        yield f"      {in_one_line(error)}"
        yield f"      log: {row['log']}"
    if len(errors) > ERRORS_SHOWN:
        yield f"      and {counted(len(errors) - ERRORS_SHOWN, 'other error')}"


def _seconds(rows: Sequence[Row]) -> str:
    return f"{sum(row['seconds'] or 0.0 for row in rows):.1f} s"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"
