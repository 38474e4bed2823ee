"""Asset checks: what must hold of the data. Blocking where wrong data would spread to what is made from it."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from partitions.files import LOG_FILES, PHOTO_FILES, path_of
from photo_popularity.domain.schemas import SCHEMAS
from resources.io_managers import partitions_of_run
from resources.output_parts import by_partition
from resources.table_storage import TableStorage

PROBABILITY_TOLERANCE = 1e-6
EXAMPLES_SHOWN = 10
LOGS_MAY_END_EARLY_BY = timedelta(hours=1)
DAYS_WITHOUT_UPLOAD = 3


@dataclass(frozen=True)
class Finding:
    """What a check found: the rows, files or days that break the rule, and figures worth keeping."""

    broken: Sequence[str] = ()
    sentence: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """What a check looks at: the rows of the run's partitions, and storage for what they are compared with."""

    rows: pd.DataFrame
    partitions: list[str]
    storage: TableStorage
    _whole: dict[str, pd.DataFrame] = field(default_factory=dict)

    def other(self, asset: str) -> pd.DataFrame:
        """The rows of another asset in the same partitions."""
        return read_partitions(self.storage, asset, self.partitions)

    def whole(self, asset: str) -> pd.DataFrame:
        """All current rows of another asset, read once for all partitions of the run."""
        if asset not in self._whole:
            self._whole[asset] = read_partitions(self.storage, asset, None)
        return self._whole[asset]

    def each(self, asset: str) -> Iterator["Checked"]:
        """The same, partition by partition."""
        rows = by_partition(asset, self.rows, self.partitions)
        for key in self.partitions:
            yield replace(self, rows=rows.get(key, self.rows.iloc[:0]), partitions=[key])


Rule = Callable[[Checked], Finding]


def keys_are_unique(asset: str) -> Rule:
    """No two rows share the key of the asset's schema."""

    def rule(checked: Checked) -> Finding:
        key = list(SCHEMAS[asset].key)
        double = checked.rows[checked.rows.duplicated(key)]
        return Finding(
            [str(tuple(row)) for row in double[key].itertuples(index=False)], f"rows share their {key}"
        )

    return rule


def visitors_within_views(checked: Checked) -> Finding:
    """Nobody can be a visitor of a photo without viewing it."""
    rows = checked.rows
    broken = rows[rows["unique_visitors"] > rows["views"]]
    return Finding(
        _days_and_photos(broken), "photos have more visitors than views", {"views": int(rows["views"].sum())}
    )


def every_line_is_accounted_for(checked: Checked) -> Finding:
    """The lines of a file are its good lines in `log_signals` and those in `quarantined_lines`."""
    good = checked.rows.groupby("file")["lines"].sum()
    rejected = checked.other("quarantined_lines")
    quarantined = rejected.groupby("file").size()
    outputs = checked.storage.catalog.current("log_signals")
    broken, total = [], 0
    for key in checked.partitions:
        lines = int(outputs[key].detail["lines"])
        total += lines
        found = int(good.get(path_of(key), 0)) + int(quarantined.get(path_of(key), 0))
        if lines != found:
            broken.append(f"{key}: {lines} lines, {found} good or quarantined")
    return Finding(broken, "files lost lines", {"lines": total, "quarantined_lines": len(rejected)})


def scores_are_probabilities(checked: Checked) -> Finding:
    """Each score lies within [0, 1] and the three add up to one."""
    scores = checked.rows[["p_cat", "p_dog", "p_neither"]]
    inside = ((scores >= 0) & (scores <= 1)).all(axis=1)
    whole = (scores.sum(axis=1) - 1).abs() < PROBABILITY_TOLERANCE
    return Finding(
        checked.rows.loc[~(inside & whole), "file"].tolist(), "files have scores that are no probabilities"
    )


def files_are_readable(checked: Checked) -> Finding:
    """Every photo file is an image."""
    return Finding(checked.rows["problem"].dropna().tolist(), "photo files could not be read")


def every_photo_has_its_file(checked: Checked) -> Finding:
    """Every living photo of the database has a file, and every file a photo."""
    photos = checked.whole("photo_metadata")
    living = photos[photos["deleted_at"].isna()]
    files = {path_of(key) for key in checked.storage.catalog.current("photo_content")}
    rows_alone = [f"{file}: a row without a file" for file in sorted(set(living["file"]) - files)]
    files_alone = [f"{file}: a file without a row" for file in sorted(files - set(photos["file"]))]
    return Finding(
        [*rows_alone, *files_alone], "photos or files lack their other half; neither stops the rest"
    )


def logs_cover_the_day(checked: Checked) -> Finding:
    """The logs reach the end of each day: else its counts are too low."""
    outputs = checked.storage.catalog.current("log_signals").values()
    moments = [datetime.fromisoformat(o.detail["last_moment"]) for o in outputs if "last_moment" in o.detail]
    latest = max(moments).replace(tzinfo=None) if moments else datetime.min
    ends = {
        key: datetime.fromisoformat(key) + timedelta(days=1) - LOGS_MAY_END_EARLY_BY
        for key in checked.partitions
    }
    broken = [
        f"{key}: the logs end at {latest:%Y-%m-%d %H:%M} UTC" for key, end in ends.items() if latest < end
    ]
    return Finding(broken, "days are not covered to their end; they are made again when the log arrives")


def uploads_are_recent(checked: Checked) -> Finding:
    """The database had an upload in the last days."""
    uploads = checked.storage.catalog.current("photo_database")
    last = max(checked.partitions)
    earliest = str(date.fromisoformat(last) - timedelta(days=DAYS_WITHOUT_UPLOAD))
    recent = [day for day in uploads if earliest <= day <= last]
    sentence = f"no photo was uploaded from {earliest} to {last}: is the database the live one?"
    return Finding([] if recent else [last], sentence)


def every_living_photo_is_predicted(checked: Checked) -> Finding:
    """Each photo alive at the end of the night has exactly one prediction."""
    alive = checked.other("photo_features")
    pairs = {(day, photo) for day, photo in zip(alive["day"], alive["photo_id"], strict=True)}
    told = {(day, photo) for day, photo in zip(checked.rows["day"], checked.rows["photo_id"], strict=True)}
    broken = sorted(f"{day:%Y-%m-%d} {photo}" for day, photo in pairs ^ told)
    return Finding(broken, "photos are not predicted, or predicted and not alive", {"photos": len(pairs)})


def model_beats_its_baselines(checked: Checked) -> Finding:
    """The model ranks better and errs less than every baseline, on known and on new photos."""
    broken = []
    for (day, segment), rows in checked.rows.groupby(["day", "segment"]):
        model = rows[rows["predictor"] == "model"].iloc[0]
        for baseline in rows[rows["predictor"] != "model"].itertuples():
            if not (model["spearman"] > baseline.spearman and model["mae_log1p"] < baseline.mae_log1p):
                broken.append(f"{day:%Y-%m-%d} {segment}: not better than {baseline.predictor}")
    return Finding(broken, "the model does not beat every baseline")


WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
RULES: tuple[tuple[str, str, Rule, dg.AssetCheckSeverity], ...] = (
    *((asset, "keys_are_unique", keys_are_unique(asset), ERROR) for asset in SCHEMAS),
    ("behavior_signals", "visitors_within_views", visitors_within_views, ERROR),
    ("behavior_signals", "logs_cover_the_day", logs_cover_the_day, WARN),
    ("log_signals", "every_line_is_accounted_for", every_line_is_accounted_for, ERROR),
    ("cat_dog_scores", "scores_are_probabilities", scores_are_probabilities, ERROR),
    ("photo_content", "files_are_readable", files_are_readable, WARN),
    ("photo_metadata", "uploads_are_recent", uploads_are_recent, WARN),
    ("photo_features", "every_photo_has_its_file", every_photo_has_its_file, WARN),
    ("popularity_predictions", "every_living_photo_is_predicted", every_living_photo_is_predicted, ERROR),
    ("model_evaluation", "model_beats_its_baselines", model_beats_its_baselines, WARN),
)


def build_checks(kinds: Mapping[str, str], days: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """All checks; `kinds` maps an asset to the kind of its partitions. Those that are errors block what is downstream."""
    partitions = {"days": days, "photo_files": PHOTO_FILES, "log_files": LOG_FILES}
    return [
        _build(asset, name, rule, severity, partitions[kinds[asset]]) for asset, name, rule, severity in RULES
    ]


def _build(
    asset: str, name: str, rule: Rule, severity: dg.AssetCheckSeverity, definition: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=name,
        description=(rule.__doc__ or "Rows are unique in the key of their schema.").strip(),
        blocking=severity == ERROR,
        partitions_def=definition,
        required_resource_keys={"storage"},
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        storage: TableStorage = context.resources.storage
        wanted = partitions_of_run(context.run.tags, definition, context.instance) or None
        rows = read_partitions(storage, asset, wanted)
        partitions = list(wanted or storage.catalog.current(asset))
        checked = Checked(rows, partitions, storage)
        result = evaluate(rule, checked, severity)
        if len(partitions) > 1:
            for part in checked.each(asset):
                found = result if result.passed else evaluate(rule, part, severity)
                told = _of_partition(asset, name, part.partitions[0], found)
                # it does take an evaluation; its annotation does not say so
                context.op_execution_context.log_event(told)  # type: ignore[arg-type]
        return result

    return check


def _of_partition(
    asset: str, name: str, partition: str, found: dg.AssetCheckResult
) -> dg.AssetCheckEvaluation:
    """The result for one partition of a range: Dagster writes one without a partition, and shows the rest as skipped."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=found.passed,
        metadata={} if found.passed else found.metadata,
        severity=found.severity,
        description="holds" if found.passed else found.description,
        blocking=found.severity == ERROR,
        partition=partition,
    )


def evaluate(rule: Rule, checked: Checked, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """The rule's finding as Dagster shows it."""
    finding = rule(checked)
    count = len(finding.broken)
    description = (
        f"{count} {finding.sentence}" if count else f"holds for {len(checked.partitions)} partitions"
    )
    examples = {"examples": dg.MetadataValue.json(list(finding.broken[:EXAMPLES_SHOWN]))} if count else {}
    return dg.AssetCheckResult(
        passed=not count, severity=severity, description=description, metadata={**examples, **finding.figures}
    )


def read_partitions(storage: TableStorage, asset: str, partitions: Sequence[str] | None) -> pd.DataFrame:
    """The current rows of the asset in these partitions, or in all of them."""
    outputs = storage.catalog.current(asset)
    wanted = outputs if partitions is None else {key: outputs[key] for key in partitions if key in outputs}
    rows = storage.read_table(asset, wanted)
    if not isinstance(rows, pd.DataFrame):
        raise TypeError(f"{asset} is no table")
    return rows


def _days_and_photos(rows: pd.DataFrame) -> list[str]:
    return [f"{day:%Y-%m-%d} {photo}" for day, photo in zip(rows["day"], rows["photo_id"], strict=True)]
