"""What a person reads when a night has ended: what was made, of what, how good it is, and where to look next.

The sections about work and sources are here, those about the model and the photos in `report_results.py`. Everything
is read from the catalog and the outputs, as anybody could read it later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from partitions.files import key_of
from photo_popularity.domain.errors import InputError
from photo_popularity.planning import NIGHTLY_ASSETS
from photo_popularity.query import run_query
from photo_popularity.report_results import heading, print_model, print_most_popular, table_of
from photo_popularity.text import counted, in_one_line, shortened, size
from resources.catalog_records import Execution
from resources.databases import told
from resources.installation import Installation
from resources.pipeline import DATABASE

if TYPE_CHECKING:
    from photo_popularity.detection import Changes
    from photo_popularity.night import Night

EXAMPLES_SHOWN = 5
OF_COURSE = ("started", "succeeded")


def print_report(
    console: Console,
    installation: Installation,
    night: Night,
    detected: Mapping[str, Changes],
    seconds: float,
) -> None:
    """Print the whole report of a night that took so many seconds."""
    day = f"{night.day:%A, %-d %B %Y}" if night.day else "without a day"
    console.print()
    console.rule(Text(f"Night of {day}", style="bold"), align="left", style="dim", characters="─")
    executions = [e for run_id in night.run_ids for e in installation.catalog.executions(run_id=run_id)]
    _print_materialized(console, installation, night, executions, seconds)
    _print_sources(console, installation, detected)
    _print_warnings(console, night)
    _print_failures(console, installation, night, executions)
    if night.day:
        print_model(console, night.environment, night.day)
        print_most_popular(console, night.environment, night.day)
    _print_places(console, night)


def _print_materialized(
    console: Console,
    installation: Installation,
    night: Night,
    executions: Sequence[Execution],
    seconds: float,
) -> None:
    done = [execution for execution in executions if execution.status == "succeeded"]
    assets = [asset for step in installation.pipeline.steps for asset in step.makes]
    worked_on = [asset for asset in assets if any(e.asset == asset for e in executions)]
    console.print()
    if not executions and not night.failed_runs:
        why = "All had been made from the same before" if night.run_ids else "Nothing was out of date"
        console.print(Text(f"{why}, so nothing was recomputed.", style="bold green"), end=" ")
        console.print(f"All {len(assets)} assets stand as they were; looking took {seconds:.1f} s.")
        return
    runs = counted(len(night.run_ids), "run")
    console.print(f"{counted(len(done), 'partition')} materialized in {runs}, {seconds:.1f} s in all.")
    console.print()
    table = table_of("asset", "made now", "partitions", "rows", "size", "seconds", left=("asset",))
    for asset in worked_on:
        mine = [execution for execution in done if execution.asset == asset]
        others = Counter(e.status for e in executions if e.asset == asset and e.status not in OF_COURSE)
        beside = "".join(f", {count:,} {status}" for status, count in others.items())
        outputs = installation.catalog.current(asset).values()
        table.add_row(
            asset,
            f"{len(mine):,}{beside}",
            f"{len(outputs):,}",
            f"{sum(output.rows for output in outputs):,}",
            size(sum(output.bytes for output in outputs)),
            f"{sum(execution.seconds or 0.0 for execution in mine):.1f}",
        )
    console.print(table)
    console.print(
        Text("Seconds are the steps' own; starting, checking and Dagster's log take the rest.", style="dim")
    )
    waiting = _held_up(installation, executions)
    untouched = [asset for asset in assets if asset not in worked_on]
    for what, names in (
        ("Up to date already", [asset for asset in untouched if asset not in waiting]),
        ("Not looked at, for what they read has failed", [asset for asset in untouched if asset in waiting]),
    ):
        if names:
            console.print(Text(f"{what}: {', '.join(names)}.", style="dim"))


def _held_up(installation: Installation, executions: Sequence[Execution]) -> set[str]:
    """The assets that follow, near or far, from one that has failed or holds what a check has refused."""
    troubled = {execution.asset for execution in executions if execution.status == "failed"}
    troubled |= {asset for asset, _ in _refused(installation)}
    held: set[str] = set()
    for step in installation.pipeline.steps:
        if (troubled | held) & step.reads.keys():
            held.update(step.makes)
    return held


def _refused(installation: Installation) -> dict[tuple[str, str], list[str]]:
    """The current outputs that nothing may be built on: by asset and by what refuses them, their partitions."""
    refused: dict[tuple[str, str], list[str]] = {}
    for asset in installation.pipeline.by_asset:
        for partition, output in installation.catalog.current(asset).items():
            if output.rejected:
                refused.setdefault((asset, output.rejected), []).append(partition)
    return refused


def _print_sources(console: Console, installation: Installation, detected: Mapping[str, Changes]) -> None:
    heading(console, "Sources")
    table = Table.grid(padding=(0, 2))
    units = {name: files.noun for name, files in installation.pipeline.file_sets.items()}
    for source, unit in {**units, DATABASE: "upload day"}.items():
        present = len(installation.catalog.current(source))
        changes = detected.get(source)
        table.add_row(
            source.replace("_", " "), counted(present, unit), str(changes) if changes is not None else ""
        )
    console.print(table)
    for changes in detected.values():
        _print_some(console, "from the sources", "warning", changes.warnings)
        if changes.unsettled:
            console.print(
                f"{counted(len(changes.unsettled), 'file')} still being written, left for the next night."
            )
    _print_lines(console, installation)
    _print_unreadable_photos(console, installation)
    _print_quarantined(console, installation)
    _print_mixed_code(console, installation)
    _print_strays(console, installation)


def _print_lines(console: Console, installation: Installation) -> None:
    details = [output.detail for output in installation.catalog.current("log_signals").values()]
    lines, quarantined = (
        sum(detail.get(name, 0) for detail in details) for name in ("lines", "quarantined_lines")
    )
    console.print(
        f"{counted(lines, 'log line')}: {lines - quarantined:,} counted, {quarantined:,} quarantined."
    )
    if quarantined:
        sql = "SELECT reason, sum(lines) AS n FROM quarantined_lines GROUP BY reason ORDER BY n DESC, reason"
        reasons = run_query(installation.environment, sql).to_pylist()
        for row in reasons[:EXAMPLES_SHOWN]:
            _print_item(console, f"{counted(row['n'], 'line')}: {row['reason']}")
        _print_rest(console, len(reasons), "reason")


def _print_unreadable_photos(console: Console, installation: Installation) -> None:
    sql = "SELECT file, problem FROM photo_content WHERE problem IS NOT NULL ORDER BY file"
    problems = [
        f"{row['file']}: {row['problem']}" for row in run_query(installation.environment, sql).to_pylist()
    ]
    _print_some(console, "could not be read", "photo file", problems)


def _print_quarantined(console: Console, installation: Installation) -> None:
    """Files that a step could not make anything of; they are tried again when their bytes or the code change."""
    found = [
        f"{asset} {partition}: {output.quarantined}"
        for asset in installation.pipeline.by_asset
        for partition, output in sorted(installation.catalog.current(asset).items())
        if output.quarantined
    ]
    _print_some(console, "quarantined, and the rest is built without it", "file", found)


def _print_mixed_code(console: Console, installation: Installation) -> None:
    """Assets of which a part was made by other code or parameters than now, and should not have been left so."""
    for step in installation.pipeline.steps:
        try:
            now = step.fingerprint(installation.environment)
        except InputError:
            continue  # a setting that cannot be used, which the step itself has told by now
        # the nights before keep the models that they had
        for asset in () if step.name in NIGHTLY_ASSETS else step.makes:
            outputs = installation.catalog.current(asset)
            others = sum(output.fingerprint != now for output in outputs.values())
            if others:
                told = (
                    f"{asset}: {others:,} of {len(outputs):,} were made by other code or parameters than now"
                )
                console.print(Text(told, style="yellow"))


def _print_strays(console: Console, installation: Installation) -> None:
    """Photo files that no row of the database names, and rows whose file is not there."""
    outputs = installation.catalog.current("photo_metadata").values()
    listed = {key_of(file) for output in outputs for file in output.index}
    present = set(installation.catalog.current("photo_files"))
    _print_some(
        console, "in the folder that no photo in the database names", "file", sorted(present - listed)
    )
    _print_some(console, "in the database whose file is not there", "photo", sorted(listed - present))


def _print_some(console: Console, what: str, noun: str, examples: Sequence[str]) -> None:
    if examples:
        console.print(Text(f"{counted(len(examples), noun)} {what}:", style="yellow"))
        for example in examples[:EXAMPLES_SHOWN]:
            _print_item(console, example)
        _print_rest(console, len(examples), noun)


def _print_item(console: Console, text: str) -> None:
    console.print(Text("  " + shortened(text, 400)), soft_wrap=not console.is_terminal)


def _print_rest(console: Console, total: int, noun: str) -> None:
    if total > EXAMPLES_SHOWN:
        console.print(f"  and {counted(total - EXAMPLES_SHOWN, f'more {noun}')}")


def _print_warnings(console: Console, night: Night) -> None:
    if night.warned:
        heading(console, "Checks that did not pass", style="bold yellow")
        for (asset, check), found in night.warned.items():
            console.print(Text(f"{asset}, {check}: {found}"), soft_wrap=True)


def _print_failures(
    console: Console, installation: Installation, night: Night, executions: Sequence[Execution]
) -> None:
    refused = _refused(installation)
    failed = [execution for execution in executions if execution.status == "failed"]
    told = {execution.run_id for execution in failed}
    silent = [run_id for run_id in night.failed_runs if run_id not in told]
    if not failed and not silent and not refused:
        return
    heading(console, "Failures", style="bold red")
    for line in _failures(failed):
        console.print(Text(line), soft_wrap=True)
    for (asset, by), keys in refused.items():
        console.print(Text(f"{asset} ({_told(keys)}): refused by {in_one_line(by)}"), soft_wrap=True)
    for run_id in silent:
        console.print(
            f"run {run_id} failed; its log: {night.environment.run_logs / run_id}.log", soft_wrap=True
        )


def _failures(failed: Sequence[Execution]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Execution]] = {}
    for execution in failed:
        groups.setdefault((execution.asset, execution.error or ""), []).append(execution)
    for (asset, error), group in groups.items():
        partitions = [execution.partition for execution in group]
        said = in_one_line(error).removeprefix(f"{asset} {partitions[0]}: ")
        yield f"{asset} ({_told(partitions)}): {said}"
        yield f"  log: {group[0].log}"


def _told(partitions: Sequence[str]) -> str:
    keys = sorted(partitions)
    return keys[0] if len(keys) == 1 else f"{counted(len(keys), 'partition')}, {keys[0]} … {keys[-1]}"


def _print_places(console: Console, night: Night) -> None:
    environment = night.environment
    heading(console, "Where things lie")
    places = {
        "data": environment.storage_root,
        "catalog": told(sa.make_url(environment.catalog_url)),
        "run logs": str(environment.run_logs),
    }
    for name, place in places.items():
        console.print(Text(f"{name:<10}{place}"), soft_wrap=True)
    heading(console, "What next")
    for line in NEXT_STEPS:
        console.print(Text(line), soft_wrap=True)


NEXT_STEPS = (
    "make dev                          every asset and picture, in Dagster's pages",
    "photo-popularity history          what ran, when, by whom, and what failed",
    "photo-popularity run --site DIR   the same on a site of your own",
    'photo-popularity query "FROM popularity_predictions LIMIT 10"',
)
