"""A step at work: its function is called for some partitions after the others, and each partition has a fate of its own.

Days are made all at once. Files are made in handfuls that are committed as they are done; when a handful fails, its files
are tried one by one, and one that cannot be made is quarantined with the reason while the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from assets.progress import Work
from photo_popularity.domain.errors import InputError
from resources.io_managers import Shown, TableIOManager, may_pass
from resources.output_parts import Result
from resources.steps import Step

HANDFUL = 64


@dataclass
class Making:
    """What becomes of each partition of a step: `shown` on the assets' pages, `metadata` of the run as a whole."""

    function: Callable[[Work], Any]
    step: Step
    manager: TableIOManager
    log: logging.Logger
    shown: dict[str, dict[str, Shown]] = field(init=False)
    metadata: dict[str, dict[str, Any]] = field(init=False)
    _done: int = 0

    def __post_init__(self) -> None:
        self.shown = self.manager.left_alone(self.step)
        self.metadata = {asset: {} for asset in self.step.declaration.makes}

    def make(self) -> None:
        """Make every partition of the step, or raise what stands in the way of all of them."""
        keys = self.step.partitions
        if self.step.declaration.partitions == "days":
            self._commit(keys)
            return
        for start in range(0, len(keys), HANDFUL):
            self._make_files(keys[start : start + HANDFUL])

    def _make_files(self, keys: Sequence[str]) -> None:
        try:
            self._commit(keys)
        except Exception as error:
            if may_pass(error) or (len(keys) == 1 and isinstance(error, InputError)):
                raise
            self._make_one_by_one(keys, error)
        self._done += len(keys)

    def _make_one_by_one(self, keys: Sequence[str], first: Exception) -> None:
        reasons: dict[str, str] = {}
        for key in keys:
            try:
                self._commit([key])
            except Exception as error:
                if may_pass(error):
                    raise
                told = isinstance(error, InputError)
                reasons[key] = str(error) if told else f"{type(error).__name__}: {error}"
        if len(keys) == len(reasons) > 1 and len(set(reasons.values())) == 1:
            # it is not the files
            raise first
        for key, reason in reasons.items():
            self.log.warning(f"{key}: quarantined: {reason}")
            shown = self.manager.quarantine(self.step, key, reason, since=datetime.now(UTC))
            for asset, its in shown.items():
                self.shown[asset][key] = its

    def _commit(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        since = datetime.now(UTC)
        work = Work(list(keys), self.log, before=self._done, of=len(self.step.partitions))
        for asset, result in _results(self.function(work), self.step.declaration.makes).items():
            shown = self.manager.commit(self.step, asset, result, partitions=keys, since=since)
            self.shown[asset] |= shown
            self.metadata[asset] |= result.metadata


def _results(returned: Any, makes: Sequence[str]) -> Mapping[str, Result]:
    by_asset = returned if isinstance(returned, Mapping) else {makes[0]: returned}
    return {asset: made if isinstance(made, Result) else Result(made) for asset, made in by_asset.items()}
