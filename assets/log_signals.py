"""Log signals: what one access log file tells, as partial counts that merge exactly, and its quarantined lines."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

import pyarrow as pa

from assets.pipeline_asset import file_asset
from partitions.file_sets import LOG_FILES
from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_scan import QUARANTINED, LogScan
from photo_popularity.domain.log_scanner import scan_log, why_no_kernel
from resources.environment import Environment
from resources.output_parts import Result
from resources.pods import Pod
from resources.source_file import SourceFile
from resources.visitors import VisitorSalt

MAKES = {
    "log_signals": """One row is a photo on a UTC day in one log file: partial counts that merge exactly over files.

Lines about no photo stand in rows without photo_id, so that the column `lines` adds up to every good line of the file.
Client addresses are kept here only as salted hashes. Processed as files arrive and are quiet.""",
    "quarantined_lines": """One row is a line that is in no Combined or Common log format: where it stands, and why it was
not counted. Good lines and quarantined lines together are all lines of the file.

The line is kept as it came, with whatever address stands in it. Of a file with more than 100,000 of them the further ones
stand in one row for each reason, whose column `lines` says how many they are.""",
}


def counting_rules(environment: Environment) -> Mapping[str, Any]:
    """What counts as a view, a like, a download and a robot, and the version of the visitors' salt."""
    settings = environment.settings
    return {
        "rules": asdict(settings.behavior_rules),
        "salt": VisitorSalt(environment).public_version,
    }


@file_asset(
    LOG_FILES,
    makes=MAKES,
    parameters=counting_rules,
    # the list of known robots
    libraries=("crawler-user-agents",),
    code=(BehaviorRules,),
    pod=Pod(cpu="1", memory="2Gi"),
)
def log_signals(file: SourceFile, environment: Environment) -> Mapping[str, Result]:
    """Scan the log file once; one that cannot be read is quarantined as a whole."""
    salt = VisitorSalt(environment)
    scan = partial(
        scan_log,
        rules=environment.settings.behavior_rules,
        salt=salt.value,
        salt_version=salt.public_version,
    )
    try:
        with file.open() as stream:
            found = scan(stream)
    except InputError as error:
        found = _quarantined_whole(scan(io.BytesIO()), str(error))
    _tell_of_a_slow_scan()
    if found.lines > found.good:
        file.warn(f"{found.lines - found.good} of {found.lines} lines quarantined")
    detail = line_counts(found)
    return {
        "log_signals": Result(found.signals, detail=detail),
        "quarantined_lines": Result(found.quarantined, detail=detail),
    }


@cache
def _tell_of_a_slow_scan() -> None:
    if missing := why_no_kernel():
        logging.getLogger(__name__).warning(
            f"logs are scanned without the compiled kernel, some thirty times slower: {missing}"
        )


def line_counts(scan: LogScan) -> dict[str, Any]:
    """How many lines the file has, how many were good, and the first and last moment in it."""
    moments = {"first_moment": scan.first_moment, "last_moment": scan.last_moment}
    told = {name: moment.isoformat() for name, moment in moments.items() if moment is not None}
    return {"lines": scan.lines, "good_lines": scan.good, "quarantined_lines": scan.lines - scan.good, **told}


def _quarantined_whole(empty: LogScan, reason: str) -> LogScan:
    """A file without a line that can be told apart counts as one quarantined line."""
    line = {"line_number": 1, "reason": reason, "line": "", "lines": 1}
    return replace(empty, quarantined=pa.Table.from_pylist([line], schema=QUARANTINED), lines=1)
