"""Log signals: what one access log file tells, as partial counts that merge exactly, and its quarantined lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import dagster as dg
import pandas as pd

from assets.pipeline_asset import pipeline_asset
from assets.progress import followed
from partitions.files import path_of
from partitions.reads import SameKey
from photo_popularity.domain.behavior import LogScan, scan_log
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.sources import FileSource
from resources.table_storage import Result
from resources.visitors import VisitorSalt

MAKES = {
    "log_signals": """One row is a photo on a UTC day in one log file: partial counts that merge exactly over files.

Lines about no photo stand in rows without photo_id, so that the column `lines` adds up to every good line of the file.
Client addresses are kept only as salted hashes. Processed as files arrive and are quiet.""",
    "quarantined_lines": """One row is a line that is in no Combined or Common log format: where it stands, and why it was
not counted. Good lines and quarantined lines together are all lines of the file.""",
}


def counting_rules(environment: Environment) -> Mapping[str, Any]:
    """What counts as a view, a like, a download and a robot, and the version of the visitors' salt."""
    settings = environment.settings
    return {"rules": asdict(settings.behavior_rules), "salt": VisitorSalt(settings).public_version}


@pipeline_asset(
    makes=MAKES,
    partitions="log_files",
    reads={"log_files": SameKey()},
    parameters=counting_rules,
    group="logs",
    kinds=("python", "parquet"),
    pool="log_files",
)
def log_signals(
    context: dg.AssetExecutionContext, log_files: FileSource, environment: Environment
) -> Mapping[str, Result]:
    """Scan each log file once, in bounded memory."""
    scans: list[LogScan] = []
    rules, salt = environment.settings.behavior_rules, VisitorSalt(environment.settings)
    for key in followed(context, context.partition_keys, "log files"):
        file = path_of(key)
        try:
            with log_files.open(key) as stream:
                scans.append(scan_log(stream, file=file, rules=rules, salt=salt.value, salt_version=salt.version))
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error}); check that it exists and who may read it") from error
        if scans[-1].lines > scans[-1].good:
            context.log.warning(f"{file}: {scans[-1].lines - scans[-1].good} of {scans[-1].lines} lines quarantined")
    details = {key: line_counts(scan) for key, scan in zip(context.partition_keys, scans, strict=True)}
    signals = pd.concat([scan.signals for scan in scans], ignore_index=True)
    quarantined = pd.concat([scan.quarantined for scan in scans], ignore_index=True)
    return {"log_signals": Result(signals, details=details), "quarantined_lines": Result(quarantined, details=details)}


def line_counts(scan: LogScan) -> dict[str, Any]:
    """How many lines the file has, how many were good, and the first and last moment in it."""
    moments = {"first_moment": scan.first_moment, "last_moment": scan.last_moment}
    told = {name: moment.isoformat() for name, moment in moments.items() if moment is not None}
    return {"lines": scan.lines, "good_lines": scan.good, "quarantined_lines": scan.lines - scan.good, **told}
