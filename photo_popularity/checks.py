"""Asset checks: the rules of `rules.py` as Dagster runs them. Blocking where wrong data would spread."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
from collections.abc import Mapping
from typing import Any

import dagster as dg

from photo_popularity.domain.schemas import SCHEMAS
from photo_popularity.rules import (
    Checked,
    Rule,
    cards_are_complete,
    every_line_is_accounted_for,
    every_living_photo_is_predicted,
    every_photo_has_its_file,
    files_are_readable,
    keys_are_unique,
    logs_cover_the_day,
    model_beats_its_baselines,
    no_day_is_missing_from_the_logs,
    scores_are_probabilities,
    uploads_are_recent,
    visitors_within_views,
)
from resources.event_log import ResultOfAllPartitions, checked_materializations
from resources.io_managers import partitions_of_run
from resources.pipeline import STEP_TAG, Declaration, Pipeline
from resources.table_storage import TableStorage

EXAMPLES_SHOWN = 10
# their key is the partition itself, and a check costs an event for each of the files of a run
ONE_ROW_A_FILE = ("photo_content", "cat_dog_scores")
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
RULES: tuple[tuple[str, str, Rule, dg.AssetCheckSeverity], ...] = (
    *((asset, "keys_are_unique", keys_are_unique, ERROR) for asset in SCHEMAS if asset not in ONE_ROW_A_FILE),
    ("behavior_signals", "visitors_within_views", visitors_within_views, ERROR),
    ("behavior_signals", "logs_cover_the_day", logs_cover_the_day, ERROR),
    ("behavior_signals", "no_day_is_missing_from_the_logs", no_day_is_missing_from_the_logs, WARN),
    ("log_signals", "every_line_is_accounted_for", every_line_is_accounted_for, ERROR),
    ("cat_dog_scores", "scores_are_probabilities", scores_are_probabilities, ERROR),
    ("photo_content", "files_are_readable", files_are_readable, WARN),
    ("photo_metadata", "uploads_are_recent", uploads_are_recent, WARN),
    ("photo_features", "every_photo_has_its_file", every_photo_has_its_file, WARN),
    ("popularity_model", "cards_are_complete", cards_are_complete, ERROR),
    ("popularity_predictions", "every_living_photo_is_predicted", every_living_photo_is_predicted, ERROR),
    ("model_evaluation", "model_beats_its_baselines", model_beats_its_baselines, WARN),
)


def build_checks(pipeline: Pipeline, days: dg.PartitionsDefinition) -> list[dg.AssetChecksDefinition]:
    """All checks. Those that are errors block what is downstream."""
    return [
        _build(asset, name, rule, severity=severity, step=pipeline.by_asset[asset], days=days)
        for asset, name, rule, severity in RULES
    ]


def _build(
    asset: str,
    name: str,
    rule: Rule,
    *,
    severity: dg.AssetCheckSeverity,
    step: Declaration,
    days: dg.PartitionsDefinition,
) -> dg.AssetChecksDefinition:
    definition = step.files.partitions if step.files else days

    @dg.asset_check(
        asset=asset,
        name=name,
        description=rule.__doc__,
        blocking=severity == ERROR,
        partitions_def=definition,
        op_tags={STEP_TAG: step.name},
    )
    def check(
        context: dg.AssetCheckExecutionContext, storage: dg.ResourceParam[TableStorage]
    ) -> dg.AssetCheckResult:
        # launched alone from the asset's page it names no partition, and looks at all of them
        keys = partitions_of_run(context.run.tags, definition, context.instance)
        checked = Checked.current(storage, asset, keys or None)
        result = evaluate(rule, checked, severity)
        # rows that hold the rule together hold it apart, and need not be taken apart
        whole = dict.fromkeys(keys if len(keys) == 1 else checked.keys, checked)
        parts = whole if result.passed or len(whole) == 1 else checked.by_key()
        found = {
            key: result if part is checked else evaluate(rule, part, severity) for key, part in parts.items()
        }
        if len(keys) != 1:
            targets = checked_materializations(context.instance, asset, list(parts))
            for key, told in found.items():
                event = _of_partition(asset, name, key, told, targets)
                # it does take an evaluation; its annotation does not say so
                context.op_execution_context.log_event(event)  # type: ignore[arg-type]
        if severity == ERROR and not result.passed:
            outputs = checked.outputs(asset)
            broken = [parts[key] for key, told in found.items() if not told.passed]
            refused = {
                its: outputs[its]
                for part in broken or parts.values()
                for one in _broken_files(rule, part) or [part]
                for its in one.partitions
            }
            storage.catalog.reject(asset, refused, f"the check {name}: {result.description}")
        return result if keys else ResultOfAllPartitions(**result._asdict())

    return check


def _broken_files(rule: Rule, checked: Checked) -> list[Checked]:
    """Of a partition that holds several files, those that break the rule by themselves: the others stay good."""
    several = len(checked.partitions) > 1
    return [one for one in checked.each() if rule(one).broken] if several else []


def _of_partition(
    asset: str, name: str, partition: str, found: dg.AssetCheckResult, targets: Mapping[str, Any]
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
        target_materialization_data=targets.get(partition),
    )


def evaluate(rule: Rule, checked: Checked, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """The rule's finding as Dagster shows it."""
    if not checked.partitions:
        return dg.AssetCheckResult(
            passed=True, severity=severity, description="there is nothing to look at yet"
        )
    finding = rule(checked)
    count = len(finding.broken)
    held = f"holds for {len(checked.partitions)} partition{'s' if len(checked.partitions) > 1 else ''}"
    examples = {"examples": dg.MetadataValue.json(list(finding.broken[:EXAMPLES_SHOWN]))} if count else {}
    return dg.AssetCheckResult(
        passed=not count,
        severity=severity,
        description=f"{finding.sentence} ({count:,})" if count else held,
        metadata={**examples, **finding.figures},
    )
