"""One log file a run, beside the data: it outlives Dagster's database."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from resources.environment import Environment, read_environment


class RunLogHandler(logging.Handler):
    """Appends each record of a run to `<run logs>/<run id>.log`; Dagster's instance attaches it, see `dagster.yaml`."""

    @cached_property
    def _folder(self) -> Path:
        folder = read_environment().run_logs
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a record that belongs to no run is not for us."""
        run_id = _told(record, "run_id")
        if not run_id:
            return
        try:
            with (self._folder / f"{run_id}.log").open(
                "a", encoding="utf-8", errors="backslashreplace"
            ) as file:
                file.write("\n".join(_lines(record)) + "\n")
        except OSError:
            # a full disk must not fail the run that tells of it; logging writes the reason to standard error
            self.handleError(record)


def share_log(environment: Environment, run_id: str) -> None:
    """Have the run's log there for its steps, which may add to it, whoever they work as, and make no files beside it."""
    log = environment.run_logs / f"{run_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    log.chmod(0o620)


def _lines(record: logging.LogRecord) -> Iterator[str]:
    moment = (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    message = _told(record, "orig_message") or record.getMessage()
    yield f"{moment} {record.levelname} {_told(record, 'step_key') or '-'} {message}"
    if record.exc_info:
        yield logging.Formatter().formatException(record.exc_info)
    # Dagster keeps the error of a step or run out of the message, in the event
    error = getattr(getattr(_told(record, "dagster_event"), "event_specific_data", None), "error", None)
    if error is not None:
        yield error.to_string().rstrip()


def _told(record: logging.LogRecord, name: str) -> Any:
    meta = getattr(record, "dagster_meta", None)
    return meta.get(name) if isinstance(meta, dict) else getattr(meta, name, None)
