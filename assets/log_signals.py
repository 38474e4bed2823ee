"""Log signals: what one access log file tells, as partial counts that merge exactly, and its quarantined lines."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pandas as pd

from assets.pipeline_asset import pipeline_asset
from assets.progress import Work, followed
from partitions.files import file_of
from partitions.reads import SameKey
from photo_popularity.domain.behavior import BehaviorRules, LogScan, scan_log
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.output_parts import Result
from resources.sources import FileSource
from resources.visitors import VisitorSalt

MAKES = {
    "log_signals": """One row is a photo on a UTC day in one log file: partial counts that merge exactly over files.

Lines about no photo stand in rows without photo_id, so that the column `lines` adds up to every good line of the file.
Client addresses are kept here only as salted hashes. Processed as files arrive and are quiet.""",
    "quarantined_lines": """One row is a line that is in no Combined or Common log format: where it stands, and why it was
not counted. Good lines and quarantined lines together are all lines of the file.

The line is kept as it came, with whatever address stands in it.""",
}


def counting_rules(environment: Environment) -> Mapping[str, Any]:
    """What counts as a view, a like, a download and a robot, and the version of the visitors' salt."""
    settings = environment.settings
    return {
        "rules": asdict(settings.behavior_rules),
        "salt": VisitorSalt(environment).public_version,
    }


@pipeline_asset(
    makes=MAKES,
    partitions="log_files",
    reads={"log_files": SameKey()},
    parameters=counting_rules,
    # the list of known robots
    libraries=("crawler-user-agents",),
    code=(BehaviorRules,),
    group="logs",
    kinds=("python", "parquet"),
)
def log_signals(work: Work, log_files: FileSource, environment: Environment) -> Mapping[str, Result]:
    """Scan each log file once; one that cannot be read is quarantined as a whole."""
    scan = partial(_scan, rules=environment.settings.behavior_rules, salt=VisitorSalt(environment))
    scans: list[LogScan] = []
    for key in followed(work, work.partition_keys, "log files"):
        scans.append(scan(log_files, key))
        if scans[-1].lines > scans[-1].good:
            work.log.warning(
                f"{key}: {scans[-1].lines - scans[-1].good} of {scans[-1].lines} lines quarantined"
            )
    details = {key: line_counts(scan) for key, scan in zip(work.partition_keys, scans, strict=True)}
    signals = pd.concat([scan.signals for scan in scans], ignore_index=True)
    quarantined = pd.concat([scan.quarantined for scan in scans], ignore_index=True)
    return {
        "log_signals": Result(signals, details=details),
        "quarantined_lines": Result(quarantined, details=details),
    }


def line_counts(scan: LogScan) -> dict[str, Any]:
    """How many lines the file has, how many were good, and the first and last moment in it."""
    moments = {"first_moment": scan.first_moment, "last_moment": scan.last_moment}
    told = {name: moment.isoformat() for name, moment in moments.items() if moment is not None}
    return {"lines": scan.lines, "good_lines": scan.good, "quarantined_lines": scan.lines - scan.good, **told}


def _scan(log_files: FileSource, key: str, *, rules: BehaviorRules, salt: VisitorSalt) -> LogScan:
    scan = partial(
        scan_log, file=file_of(key), rules=rules, salt=salt.value, salt_version=salt.public_version
    )
    try:
        with log_files.open(key) as stream:
            try:
                return scan(stream)
            except InputError as error:
                return _quarantined_whole(scan(io.BytesIO()), key, str(error))
    except OSError as error:
        reason = f"{key}: cannot be read ({error}); check that it exists and who may read it"
        return _quarantined_whole(scan(io.BytesIO()), key, reason)


def _quarantined_whole(empty: LogScan, key: str, reason: str) -> LogScan:
    """A file without a line that can be told apart counts as one quarantined line."""
    line = {"file": file_of(key), "line_number": 1, "reason": reason, "line": ""}
    return replace(empty, quarantined=pd.DataFrame([line]), lines=1)
