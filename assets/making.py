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

import sqlalchemy as sa

from assets.progress import Work
from photo_popularity.domain.errors import InputError
from resources.io_managers import Shown, TableIOManager, cause_of, may_pass
from resources.output_parts import Result
from resources.steps import Step

HANDFUL = 64
# what ails the place and not the file
NO_FAULT_OF_A_FILE = (MemoryError, OSError, ImportError, sa.exc.SQLAlchemyError)


@dataclass(frozen=True)
class Failed:
    """A file that the step's function could not make anything of."""

    error: Exception
    since: datetime

    @property
    def reason(self) -> str:
        """The cause in words."""
        return cause_of(self.error)


@dataclass
class Making:
    """What becomes of each partition of a step: `shown` on the assets' pages, `metadata` of the run as a whole."""

    function: Callable[[Work], Any]
    step: Step
    manager: TableIOManager
    log: logging.Logger
    shown: dict[str, dict[str, Shown]] = field(init=False)
    metadata: dict[str, dict[str, Any]] = field(init=False)
    _tried: int = 0
    _failed: dict[str, Failed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shown = {asset: {} for asset in self.step.declaration.makes}
        self.metadata = {asset: {} for asset in self.step.declaration.makes}

    def make(self) -> None:
        """Make every partition of the step, or raise what stands in the way of all of them."""
        keys = self.step.partitions
        if self.step.declaration.partitions == "days":
            if keys:
                self._make(keys)
            return
        for start in range(0, len(keys), HANDFUL):
            self._make_files(keys[start : start + HANDFUL])
        self._settle_failed()

    def _make_files(self, keys: Sequence[str]) -> None:
        since = datetime.now(UTC)
        try:
            self._make(keys)
        except Unmade as unmade:
            if len(keys) == 1:
                self._failed[keys[0]] = Failed(unmade.error, since)
            else:
                for key in keys:
                    self._make_files([key])
                return
        self._tried += len(keys)

    def _settle_failed(self) -> None:
        """Quarantine the files that nothing could be made of, unless it looks like a fault of the step itself."""
        errors = [failed.error for failed in self._failed.values()]
        alike = len({failed.reason for failed in self._failed.values()}) == 1
        nothing_made = len(errors) == len(self.step.partitions) and not self.step.kept
        if nothing_made and alike and (len(errors) > 1 or isinstance(errors[0], InputError)):
            raise errors[0]
        for key, failed in self._failed.items():
            self.log.warning(f"{key}: quarantined: {failed.reason}")
            shown = self.manager.quarantine(self.step, key, failed.reason, since=failed.since)
            for asset, its in shown.items():
                self.shown[asset][key] = its

    def _make(self, keys: Sequence[str]) -> None:
        """Make these partitions and commit them; Unmade for what the function could not do with them."""
        since = datetime.now(UTC)
        work = Work(list(keys), self.log, before=self._tried, of=len(self.step.partitions))
        try:
            results = _results(self.function(work), self.step.declaration.makes)
        except NO_FAULT_OF_A_FILE:
            raise
        except Exception as error:
            if may_pass(error) or self.step.declaration.partitions == "days":
                raise
            raise Unmade(error) from error
        for asset, shown in self.manager.commit(self.step, results, partitions=keys, since=since).items():
            self.shown[asset] |= shown
            self.metadata[asset] |= results[asset].metadata


class Unmade(Exception):
    """The step's function has failed on some files."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _results(returned: Any, makes: Sequence[str]) -> Mapping[str, Result]:
    by_asset = returned if isinstance(returned, Mapping) else {makes[0]: returned}
    return {asset: made if isinstance(made, Result) else Result(made) for asset, made in by_asset.items()}
