"""One step of one run while it executes: what it works on, and what is known of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from resources.catalog_records import Execution, Output
from resources.pipeline import Declaration, Snapshot


class Source(Protocol):
    """Something outside the pipeline that a step reads.

    It knows the version of what was last read of a partition: None when nothing was there, no entry when not read.
    """

    versions_read: dict[str, str | None]


@dataclass
class Step:
    """One step of one run while it executes.

    `keys` are Dagster's partitions that the run names. Of the days or files in them, `partitions` are to be made,
    `twins` are to become what one of those becomes, since they are made from the same, `kept` are as they should be
    already, and `left_out` have an input that is quarantined, for the reason given. Where a key holds several files,
    those that are plainly up to date stand nowhere. `inputs` has the digests of what each of them reads, `seconds_loading`
    is what reading it took.
    """

    declaration: Declaration
    fingerprint: str
    keys: list[str]
    partitions: list[str]
    inputs: Mapping[str, Mapping[str, str]]
    snapshot: Snapshot
    run_id: str
    launched_by: str
    log: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    twins: list[str] = field(default_factory=list)
    executions: dict[tuple[str, str], Execution] = field(default_factory=dict)
    committed: dict[tuple[str, str], Output] = field(default_factory=dict)
    kept: dict[str, list[Output]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seconds_loading: float = 0.0
