"""How a night goes, told while it runs."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import io
from collections.abc import Callable

import dagster as dg
import pytest
from rich.console import Console

from photo_popularity.detection import Changes
from photo_popularity.night_progress import ConsoleObserver, progress_logger
from photo_popularity.planning import Batch

PHOTOS = Batch(("photo_content", "cat_dog_scores"), ("a.jpg", "b.jpg"), "photo_files")
DAYS = Batch(("photo_metadata",), ("2026-11-01", "2026-11-02"), "days")


def told(night: Callable[[ConsoleObserver], None]) -> list[str]:
    target = io.StringIO()
    night(ConsoleObserver(Console(file=target, width=60)))
    return target.getvalue().splitlines()


def test_sources_are_told_with_their_changes_and_warnings() -> None:
    lines = told(lambda o: o.detected("photo_files", Changes(added=("a", "b"), warnings=("c: no access",))))
    assert lines == ["· photo files: 2 new", "! c: no access"]


def test_a_run_is_told_when_it_starts_and_when_it_ends() -> None:
    def night(observer: ConsoleObserver) -> None:
        observer.started(DAYS)
        observer.finished(DAYS, "run-1", succeeded=True)

    start, end = told(night)
    assert start == "· photo_metadata: 2 days, 2026-11-01 to 2026-11-02 …"
    assert end.startswith("✓ photo_metadata: 2 days, 2026-11-01 to 2026-11-02, 0.0 s")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What is told of two real runs of Dagster, the second of which fails."""

    @dg.asset
    def talkative(context: dg.AssetExecutionContext) -> None:
        for number in range(5):
            context.log.warning(f"file {number} is odd")
        context.log.info("done 5 of 5")

    @dg.asset
    def broken() -> None:
        raise dg.Failure("the disk is full; make room", allow_retries=False)

    def nights(observer: ConsoleObserver) -> None:
        definitions = dg.Definitions(
            [talkative, broken],
            jobs=[dg.define_asset_job("job", [talkative, broken])],
            loggers={"progress": progress_logger(observer)},
            executor=dg.in_process_executor,
        )
        for asset in ("talkative", "broken"):
            observer.started(PHOTOS)
            result = definitions.resolve_job_def("job").execute_in_process(
                asset_selection=[dg.AssetKey(asset)],
                run_config={"loggers": {"progress": {}}},
                raise_on_error=False,
            )
            observer.finished(PHOTOS, result.run_id, succeeded=result.success)

    return told(nights)


def test_the_first_warnings_of_a_run_are_shown_and_the_others_counted(lines: list[str]) -> None:
    assert lines[1:5] == ["! file 0 is odd", "! file 1 is odd", "! file 2 is odd", "! and 2 more warnings"]


def test_a_failed_run_tells_its_cause_in_plain_words(lines: list[str]) -> None:
    assert lines[-1].startswith("✗ photo_content, cat_dog_scores: 2 photo files failed after")
    assert lines[-1].endswith("the disk is full; make room")


def test_nothing_but_this_is_written_where_output_is_piped(lines: list[str]) -> None:
    assert len(lines) == 8
    assert not any("\x1b" in line for line in lines)


def test_an_interruption_that_was_lost_on_its_way_is_noticed_at_the_next_word() -> None:
    observer = ConsoleObserver(Console(file=io.StringIO()), interrupted=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        observer.progressed("3 of 5 photos done")
    with pytest.raises(KeyboardInterrupt):
        observer.finished(DAYS, "run-1", succeeded=True)
