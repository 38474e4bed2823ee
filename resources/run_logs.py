"""One log file a run, beside the data: it outlives Dagster's database."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path

from resources.environment import read_environment


class RunLogHandler(logging.Handler):
    """Appends each record of a run to `<run logs>/<run id>.log`; Dagster's instance attaches it, see `dagster.yaml`."""

    @cached_property
    def _folder(self) -> Path:
        folder = read_environment().run_logs
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a record that belongs to no run is not for us."""
        meta = getattr(record, "dagster_meta", None)
        run_id = meta.get("run_id") if isinstance(meta, dict) else getattr(meta, "run_id", None)
        if not run_id:
            return
        step = (meta.get("step_key") if isinstance(meta, dict) else getattr(meta, "step_key", None)) or "-"
        message = getattr(record, "orig_message", None)
        moment = self.formatter.formatTime(record) if self.formatter else logging.Formatter().formatTime(record)
        line = f"{moment} {record.levelname} {step} {message or record.getMessage()}\n"
        with (self._folder / f"{run_id}.log").open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line)
