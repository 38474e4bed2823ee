"""A step at work: its function is called for all days at once, or for one file after the other.

Each file has a fate of its own: what is made of it is committed with a handful of others as they are done, and one that
nothing can be made of is quarantined with the reason while the others go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import sqlalchemy as sa

from assets.progress import Progress, Work
from photo_popularity.domain import tables
from photo_popularity.domain.errors import InputError
from resources.io_managers import TableIOManager, cause_of, may_pass
from resources.output_parts import Part, Result, file_part, parts_of
from resources.pages import Shown
from resources.source_file import FileUnreadable, SourceFile
from resources.sources import FileSource, is_of_the_system
from resources.steps import Step
from resources.together import calls_behind

HANDFUL = 64
# what ails the place and not the file
NO_FAULT_OF_A_FILE = (MemoryError, ImportError, sa.exc.SQLAlchemyError)


@dataclass(frozen=True)
class Failed:
    """A file that the step's function could not make anything of."""

    error: Exception
    seconds: float
    of_the_name: bool

    @property
    def reason(self) -> str:
        """The cause in words."""
        return cause_of(self.error)


@dataclass
class Making:
    """What becomes of each partition of a step: `shown` on the assets' pages, `metadata` of the run as a whole.

    `function` lacks the work or the file, which is opened in `source`, and what it reads, in `frames`.
    """

    function: Callable[..., Any]
    frames: Mapping[str, Any]
    step: Step
    manager: TableIOManager
    log: logging.Logger
    source: FileSource | None = None
    shown: dict[str, dict[str, Shown]] = field(init=False)
    metadata: dict[str, dict[str, Any]] = field(init=False)
    _failed: dict[str, Failed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shown = {asset: {} for asset in self.step.declaration.makes}
        self.metadata = {asset: {} for asset in self.step.declaration.makes}

    @property
    def _loading(self) -> float:
        """The share of each partition in the seconds that reading for all of them took."""
        return self.step.seconds_loading / max(len(self.step.partitions) + len(self.step.twins), 1)

    def make(self) -> None:
        """Make every partition of the step, or raise what stands in the way of all of them."""
        step = self.step
        if step.declaration.files is None:
            if step.partitions:
                self._make_days(step.partitions)
            return
        self._make_files(step.partitions)
        # what was made from the same as one of these need not be made, unless it depends on the name
        self._make_files(self.manager.reuse(step, step.twins))

    def _make_days(self, days: list[str]) -> None:
        self.manager.begin(self.step, days)
        started = time.monotonic()
        results = _results(
            self.function(work=Work(days, self.log), **self.frames), self.step.declaration.makes
        )
        parts = {asset: parts_of(asset, result.made, days) for asset, result in results.items()}
        share = (time.monotonic() - started) / len(days) + self._loading
        self._commit(parts, results, seconds=dict.fromkeys(days, share))

    def _make_files(self, files: Sequence[str]) -> None:
        declaration = self.step.declaration
        noun = declaration.files.noun if declaration.files else "file"
        progress = Progress(f"{noun}s", len(files), self.log)
        for start in range(0, len(files), HANDFUL):
            handful = files[start : start + HANDFUL]
            self.manager.begin(self.step, handful)
            parts: dict[str, dict[str, Part]] = {asset: {} for asset in declaration.makes}
            seconds: dict[str, float] = {}
            with calls_behind() as behind:
                stored: dict[str, Callable[[], Mapping[str, Part]]] = {}
                for key in handful:
                    started = time.monotonic()
                    its = {asset: tables.to_frame(rows[key]) for asset, rows in self.frames.items()}
                    if made := self._parts_of_file(key, its, started):
                        # large tables leave memory before the next file is worked on
                        stored[key] = behind.call(self.manager.store, self.step, key, made)
                        seconds[key] = time.monotonic() - started + self._loading
                    del made
                    progress.step()
                for key, its_parts in stored.items():
                    for asset, part in its_parts().items():
                        parts[asset][key] = part
            if seconds:
                self._commit(parts, {}, seconds=seconds)
        self._settle_failed(files)

    def _parts_of_file(
        self, key: str, frames: Mapping[str, pd.DataFrame], started: float
    ) -> Mapping[str, Part]:
        """What was made of the file; nothing when the function failed on it."""
        makes = self.step.declaration.makes
        file = SourceFile(self.source, key, self.log) if self.source else None
        its_file = {"file": file} if file else {}
        try:
            results = _results(self.function(**its_file, **frames), makes)
            named = file is not None and file.name_was_asked_for
            return {asset: file_part(asset, key, results[asset], of_the_name=named) for asset in makes}
        except NO_FAULT_OF_A_FILE:
            raise
        except Exception as error:
            if is_of_the_system(error) if isinstance(error, OSError) else may_pass(error):
                raise
            named = file is not None and file.name_was_asked_for
            self._failed[key] = Failed(error, time.monotonic() - started + self._loading, named)
            return {}

    def _settle_failed(self, files: Sequence[str]) -> None:
        """Quarantine the files that nothing could be made of, unless it looks like a fault of the step itself."""
        errors = [failed.error for failed in self._failed.values()]
        alike = len({failed.reason for failed in self._failed.values()}) == 1
        nothing_made = bool(errors) and len(errors) == len(files)
        of_the_step = len(errors) > 1 or (errors and type(errors[0]) is InputError)
        blamed = nothing_made and alike and of_the_step and not isinstance(errors[0], FileUnreadable)
        if blamed and not self.manager.others_are_right(self.step):
            raise errors[0]
        for key, failed in self._failed.items():
            self.log.warning(f"{key}: quarantined: {failed.reason}")
            shown = self.manager.quarantine(
                self.step, key, failed.reason, seconds=failed.seconds, of_the_name=failed.of_the_name
            )
            for asset, its in shown.items():
                self.shown[asset][key] = its
        self._failed.clear()

    def _commit(
        self,
        parts: Mapping[str, Mapping[str, Part]],
        results: Mapping[str, Result],
        *,
        seconds: Mapping[str, float],
    ) -> None:
        for asset, shown in self.manager.commit(self.step, parts, seconds=seconds).items():
            self.shown[asset] |= shown
            self.metadata[asset] |= results[asset].metadata if asset in results else {}


def _results(returned: Any, makes: Sequence[str]) -> Mapping[str, Result]:
    several = len(makes) > 1
    by_asset = returned if several else {makes[0]: returned}
    return {asset: made if isinstance(made, Result) else Result(made) for asset, made in by_asset.items()}
