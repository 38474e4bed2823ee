"""The nightly schedule, on the clock and as a run."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from photo_popularity.schedules import build_nightly_schedule
from resources.io_managers import PARTITION_TAG
from tests.night_fixtures import QUIETLY, Place
from tests.photo_site import LAST_DAY


@pytest.mark.parametrize(
    ("tick", "night"),
    [
        (datetime(2026, 10, 25, 7, tzinfo=UTC), "2026-10-24"),
        (datetime(2026, 11, 1, 0, 0, tzinfo=UTC), "2026-10-31"),
        (datetime(2027, 1, 1, 23, 59, tzinfo=UTC), "2026-12-31"),
    ],
)
def test_a_tick_asks_for_yesterday_in_utc_once(tick: datetime, night: str) -> None:
    schedule = build_nightly_schedule("0 7 * * *")
    request = schedule(dg.build_schedule_context(scheduled_execution_time=tick))
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == (night, night)
    assert int(request.tags["dagster/priority"]) > 0


def test_the_schedule_follows_the_setting_and_utc() -> None:
    schedule = build_nightly_schedule("30 5 * * *")
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == (
        "30 5 * * *",
        "UTC",
        "nightly_job",
    )


def test_the_nightly_job_makes_all_seven_day_assets_of_the_night_in_one_run(place: Place) -> None:
    job = place.definitions.resolve_job_def("nightly_job")
    result = job.execute_in_process(
        instance=place.instance, partition_key=str(LAST_DAY), run_config=QUIETLY, raise_on_error=False
    )
    assert result.success
    made = [
        e.asset_key.to_user_string() for e in result.all_events if e.is_step_materialization and e.asset_key
    ]
    assert sorted(made) == [
        "behavior_signals",
        "model_evaluation",
        "photo_features",
        "photo_metadata",
        "popularity_model",
        "popularity_predictions",
        "training_examples",
    ]
    assert result.dagster_run.tags[PARTITION_TAG] == str(LAST_DAY)
    # a backfill of this job waits behind the night, whose request carries the priority
    assert "dagster/priority" not in result.dagster_run.tags
