"""What must hold of the data: rules of plain frames, and what each finds broken. How Dagster runs them is in `checks.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa

from partitions.files import file_of
from photo_popularity.domain import tables
from photo_popularity.domain.schemas import SCHEMAS
from resources.catalog_records import Output
from resources.pipeline import Snapshot
from resources.table_storage import TableStorage

PROBABILITY_TOLERANCE = 1e-6
DAYS_WITHOUT_UPLOAD = 3
CARD = ("trained_on", "features", "seed", "metrics", "libraries", "model_version")
# the logs of a quiet site rarely reach the very end of a day
LOGS_END_EARLY_BY = timedelta(hours=1)
COMPARED_WITH = {"photo_features": ("photo_files", "photo_database")}
"""What the checks of an asset ask for beside the inputs and outputs of the step that makes it."""


@dataclass(frozen=True)
class Finding:
    """What a check found: the rows, files or days that break the rule, and figures worth keeping."""

    broken: Sequence[str] = ()
    sentence: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """What a rule looks at: some partitions of an asset, and what they are compared with."""

    asset: str
    partitions: list[str]
    storage: TableStorage
    snapshot: Snapshot
    # by asset and columns: what was read for all of them is there for each
    _read: dict[tuple[str, tuple[str, ...]], dict[str, pa.Table]] = field(default_factory=dict, repr=False)

    @classmethod
    def current(cls, storage: TableStorage, asset: str, keys: Sequence[str] | None) -> Checked:
        """The asset as it is now in these partitions of Dagster, or in all: the days or files that are there."""
        snapshot = Snapshot(storage.catalog)
        outputs = snapshot.readable(asset)
        wanted = outputs if keys is None else storage.pipeline.by_asset[asset].within(keys, outputs)
        return cls(asset, [key for key in wanted if key in outputs], storage, snapshot)

    def rows(self, *columns: str) -> pd.DataFrame:
        """These columns of its rows."""
        return self.rows_of(self.asset, *columns)

    def rows_of(self, asset: str, *columns: str) -> pd.DataFrame:
        """These columns of an asset's rows in the same partitions."""
        here, read = self._here(asset), self._read.setdefault((asset, columns), {})
        lacking = {key: output for key, output in here.items() if key not in read}
        read |= self.storage.read_tables(asset, lacking, columns)
        return tables.one_frame(SCHEMAS[asset], [read[key] for key in here], columns)

    def cards(self) -> dict[str, Mapping[str, Any]]:
        """The cards of a model, by night."""
        return {
            night: model.card for night, model in self.storage.read_models(self._here(self.asset)).items()
        }

    def outputs(self, asset: str) -> dict[str, Output]:
        """The current outputs of an asset."""
        return self.snapshot.readable(asset)

    def each(self) -> Iterator[Checked]:
        """The same, day by day or file by file."""
        for partition in self.partitions:
            yield replace(self, partitions=[partition])

    @property
    def keys(self) -> list[str]:
        """Dagster's partitions that they belong to."""
        return list(self.by_key())

    def by_key(self) -> dict[str, Checked]:
        """The same, by Dagster's partition."""
        grain, together = self.storage.pipeline.by_asset[self.asset].grain, dict[str, list[str]]()
        for partition in self.partitions:
            together.setdefault(grain(partition), []).append(partition)
        return {key: replace(self, partitions=partitions) for key, partitions in together.items()}

    def _here(self, asset: str) -> dict[str, Output]:
        outputs = self.outputs(asset)
        return {key: outputs[key] for key in self.partitions if key in outputs}


Rule = Callable[[Checked], Finding]


def keys_are_unique(checked: Checked) -> Finding:
    """No two rows share the key of the table's schema."""
    key = SCHEMAS[checked.asset].key
    rows = checked.rows(*key)
    double = rows[rows.duplicated()]
    return Finding(
        [" ".join(map(_word, row)) for row in double.itertuples(index=False)],
        f"rows share their {', '.join(key)}",
    )


def visitors_within_views(checked: Checked) -> Finding:
    """Nobody can be a visitor of a photo without viewing it."""
    rows = checked.rows("day", "photo_id", "unique_visitors", "views")
    broken = rows[rows["unique_visitors"] > rows["views"]]
    return Finding(
        _days_and_photos(broken), "photos have more visitors than views", {"views": int(rows["views"].sum())}
    )


def every_line_is_accounted_for(checked: Checked) -> Finding:
    """The lines of a file are its good lines in `log_signals` and those in `quarantined_lines`."""
    good = checked.rows("file", "lines").groupby("file")["lines"].sum()
    quarantined = checked.rows_of("quarantined_lines", "file", "lines").groupby("file")["lines"].sum()
    broken, total = [], 0
    for key in checked.partitions:
        lines = int(checked.outputs("log_signals")[key].detail["lines"])
        total += lines
        found = int(good.get(file_of(key), 0)) + int(quarantined.get(file_of(key), 0))
        if lines != found:
            broken.append(f"{key}: {lines} lines, {found} good or quarantined")
    return Finding(broken, "files lost lines", {"lines": total, "quarantined_lines": int(quarantined.sum())})


def scores_are_probabilities(checked: Checked) -> Finding:
    """Each score lies within [0, 1] and the three add up to one."""
    rows = checked.rows("file", "p_cat", "p_dog", "p_neither")
    scores = rows.drop(columns="file")
    inside = ((scores >= 0) & (scores <= 1)).all(axis=1)
    whole = (scores.sum(axis=1) - 1).abs() < PROBABILITY_TOLERANCE
    return Finding(
        rows.loc[~(inside & whole), "file"].tolist(), "files have scores that are no probabilities"
    )


def files_are_readable(checked: Checked) -> Finding:
    """Every photo file is an image."""
    return Finding(checked.rows("problem")["problem"].dropna().tolist(), "photo files could not be read")


def every_photo_has_its_file(checked: Checked) -> Finding:
    """Every living photo of the database has a file, and every file a photo."""
    uploads = checked.outputs("photo_metadata")
    wanted = {day: output for day, output in uploads.items() if day <= max(checked.partitions)}
    photos = checked.storage.read_table("photo_metadata", wanted, ("file", "deleted_at"))
    files = {file_of(key) for key in checked.outputs("photo_files")}
    broken = [
        f"{f}: a row without a file"
        for f in sorted(set(photos.loc[photos["deleted_at"].isna(), "file"]) - files)
    ]
    # a file's row may stand on a day that no night has come to yet
    if checked.outputs("photo_database").keys() <= wanted.keys():
        broken += [f"{file}: a file without a row" for file in sorted(files - set(photos["file"]))]
    return Finding(broken, "photos or files lack their other half; neither stops the rest")


def logs_cover_the_day(checked: Checked) -> Finding:
    """The logs reach the end of each day: else its counts are too low."""
    end = logs_end(checked.outputs("log_signals"))
    covered = str((end + LOGS_END_EARLY_BY).date()) if end else ""
    told = f"the logs end at {end:%Y-%m-%d %H:%M} UTC" if end else "there is no log line"
    broken = [f"{key}: {told}" for key in checked.partitions if covered <= key]
    return Finding(broken, "days are not covered to their end; they are made again when the log arrives")


def no_day_is_missing_from_the_logs(checked: Checked) -> Finding:
    """Each day between the first and the last one of the logs has a line: else nobody counted, and it looks unpopular."""
    logged = sorted({day for output in checked.outputs("log_signals").values() for day in output.index})
    missing = [
        key for key in checked.partitions if logged and logged[0] < key < logged[-1] and key not in logged
    ]
    return Finding(missing, "days have not one line in the logs, and count as days without views")


def logs_end(log_signals: Mapping[str, Output]) -> datetime | None:
    """The last moment that the logs cover, by the outputs of their files; None while no line is known."""
    lasts = [
        datetime.fromisoformat(o.detail["last_moment"])
        for o in log_signals.values()
        if "last_moment" in o.detail
    ]
    # a stray line from the future must not move the night: its file says nothing of what it covers
    return max((moment for moment in lasts if moment <= datetime.now(UTC)), default=None)


def uploads_are_recent(checked: Checked) -> Finding:
    """The database had an upload in the last days."""
    uploads = checked.outputs("photo_database")
    last = max(checked.partitions)
    earliest = str(date.fromisoformat(last) - timedelta(days=DAYS_WITHOUT_UPLOAD))
    recent = [day for day in uploads if earliest <= day <= last]
    sentence = f"no photo was uploaded from {earliest} to {last}: is the database the live one?"
    return Finding([] if recent else [last], sentence)


def cards_are_complete(checked: Checked) -> Finding:
    """Each model says on which days it was trained, with which features, seed and libraries, and how good it was."""
    missing = [
        f"{night}: {name}"
        for night, card in checked.cards().items()
        for name in CARD
        if card.get(name) in (None, {}, [])
    ]
    return Finding(missing, "parts of a model's card are missing")


def every_living_photo_is_predicted(checked: Checked) -> Finding:
    """Each photo alive at the end of the night has exactly one prediction."""
    alive = checked.rows_of("photo_features", "day", "photo_id")
    told = _days_and_photos(checked.rows("day", "photo_id"))
    broken = sorted(set(_days_and_photos(alive)) ^ set(told)) + sorted(
        p for p, n in Counter(told).items() if n > 1
    )
    return Finding(
        broken, "photos are not predicted once, or predicted and not alive", {"photos": len(alive)}
    )


def model_beats_its_baselines(checked: Checked) -> Finding:
    """The model ranks better and errs less than every baseline, on known and on new photos."""
    broken = []
    compared = checked.rows("day", "segment", "predictor", "spearman", "mae_log1p")
    for (day, segment), rows in compared.groupby(["day", "segment"]):
        model = rows[rows["predictor"] == "model"].iloc[0]
        for baseline in rows[rows["predictor"] != "model"].itertuples():
            if not (model["spearman"] > baseline.spearman and model["mae_log1p"] < baseline.mae_log1p):
                broken.append(f"{day:%Y-%m-%d} {segment}: not better than {baseline.predictor}")
    return Finding(broken, "comparisons with a baseline are not won by the model")


def _days_and_photos(rows: pd.DataFrame) -> list[str]:
    return [f"{day:%Y-%m-%d} {photo}" for day, photo in zip(rows["day"], rows["photo_id"], strict=True)]


def _word(value: object) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value)
