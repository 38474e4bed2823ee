"""How a night goes, told while it runs: a spinner with the latest word in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import dagster as dg
from rich.console import Console
from rich.status import Status
from rich.text import Text

from photo_popularity.definitions import PIPELINE
from photo_popularity.detection import Changes
from photo_popularity.night import Observer
from photo_popularity.planning import Batch
from photo_popularity.text import counted, in_one_line, shortened
from resources.pipeline import DAYS

WARNINGS_SHOWN = 3
SECONDS_BETWEEN_PLAIN_LINES = 10.0


class ConsoleObserver(Observer):
    """Tells a person what is being looked at and made; it also takes the lines that the steps log.

    Between runs, and with each line of a step, it asks whether the person has `interrupted`, and raises KeyboardInterrupt then.
    """

    def __init__(self, console: Console, *, interrupted: Callable[[], bool] = lambda: False) -> None:
        self._console, self._interrupted = console, interrupted
        self._status: Status | None = None
        self._started = self._told = time.monotonic()
        self._warnings, self._cause = 0, ""

    def detected(self, source: str, changes: Changes) -> None:
        """A source was compared with the catalog."""
        self._line(f"{source.replace('_', ' ')}: {changes}", mark="·")
        for warning in changes.warnings:
            self.warned(warning)
        self._warnings = 0

    def told(self, sentence: str) -> None:
        """Something that a person should know."""
        self._stop_if_interrupted()
        self.warned(sentence)

    def started(self, batch: Batch) -> None:
        """A run starts."""
        self._stop_if_interrupted()
        self._started = self._told = time.monotonic()
        self._warnings, self._cause = 0, ""
        if self._console.is_terminal:
            self._status = self._console.status(self._fitting(_work(batch)))
            self._status.start()
        else:
            self._line(f"{_work(batch)} …", mark="·")

    def progressed(self, message: str) -> None:
        """A step says how far it is."""
        self._stop_if_interrupted()
        if self._status is not None:
            self._status.update(self._fitting(message))
        elif time.monotonic() - self._told > SECONDS_BETWEEN_PLAIN_LINES:
            self._told = time.monotonic()
            self._line(message, mark=" ")

    def warned(self, message: str) -> None:
        """A step found something that a person should know; the first few of a run are shown."""
        self._warnings += 1
        if self._warnings <= WARNINGS_SHOWN:
            self._line(message, mark="!", style="yellow")

    def failed(self, message: str) -> None:
        """A step failed; the first cause is told when its run ends."""
        self._cause = self._cause or message

    def finished(self, batch: Batch, run_id: str, *, succeeded: bool) -> None:
        """A run has ended."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._warnings > WARNINGS_SHOWN:
            self._line(
                f"and {counted(self._warnings - WARNINGS_SHOWN, 'more warning')}", mark="!", style="yellow"
            )
        seconds = f"{time.monotonic() - self._started:.1f} s"
        if succeeded:
            self._line(f"{_work(batch)}, {seconds}", mark="✓", style="green")
        else:
            cause = f": {self._cause}" if self._cause else ""
            self._line(f"{_work(batch)} failed after {seconds}{cause}", mark="✗", style="red")
        self._stop_if_interrupted()

    def _stop_if_interrupted(self) -> None:
        if self._interrupted():
            raise KeyboardInterrupt

    def _line(self, message: str, *, mark: str, style: str = "dim") -> None:
        line = Text.assemble((mark, style), " ", in_one_line(message))
        self._console.print(line, soft_wrap=not self._console.is_terminal)

    def _fitting(self, message: str) -> Text:
        return Text(shortened(message, max(self._console.width - 4, 20)))


def progress_logger(observer: ConsoleObserver) -> dg.LoggerDefinition:
    """A logger of Dagster's runs that hands each line of a step, and each failure, to the observer."""

    def progress(context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("photo_popularity.progress", level=logging.INFO)
        logger.addHandler(_ObserverHandler(observer))
        return logger

    return dg.LoggerDefinition(progress, description="Tells the person who launched the night how it goes.")


class _ObserverHandler(logging.Handler):
    def __init__(self, observer: ConsoleObserver) -> None:
        super().__init__(level=logging.INFO)
        self._observer = observer

    def emit(self, record: logging.LogRecord) -> None:
        details = getattr(record, "dagster_meta", {})
        message = details.get("orig_message") or record.getMessage()
        event = details.get("dagster_event")
        if event is not None:
            if event.is_step_failure:
                self._observer.failed(_cause(event))
        elif message.startswith("Dependencies for step"):
            pass  # Dagster says once more, for each step that follows, that one has failed
        elif record.levelno >= logging.WARNING:
            self._observer.warned(message)
        else:
            self._observer.progressed(message)


def _cause(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return data.error.message if data.error else "no cause given"


def _noun(kind: str) -> str:
    return "day" if kind == DAYS else PIPELINE.file_sets[kind].noun


def _work(batch: Batch) -> str:
    keys = batch.partitions
    what = counted(len(keys), _noun(batch.kind))
    if batch.kind == DAYS:
        what = f"{keys[0]}" if len(keys) == 1 else f"{what}, {keys[0]} to {keys[-1]}"
    elif len(keys) == 1:
        what = keys[0]
    return f"{', '.join(batch.steps)}: {what}"
