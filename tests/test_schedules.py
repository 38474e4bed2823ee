"""The nightly schedule, on the clock and as a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import pytest

from photo_popularity.schedules import build_nightly_schedule
from resources.io_managers import PARTITION_TAG
from tests.night_fixtures import QUIETLY, Place
from tests.photo_site import LAST_DAY


def tick(place: Place, at: datetime) -> dg.RunRequest | dg.SkipReason:
    found = build_nightly_schedule(place.installation)(dg.build_schedule_context(scheduled_execution_time=at))
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


@pytest.mark.parametrize(
    ("at", "night"),
    [
        (datetime(2026, 10, 25, 7, tzinfo=UTC), "2026-10-24"),
        (datetime(2026, 10, 25, 23, 59, tzinfo=UTC), "2026-10-24"),
        (datetime(2026, 10, 21, 0, 0, tzinfo=UTC), "2026-10-20"),
    ],
)
def test_a_tick_asks_for_yesterday_in_utc_once(place: Place, at: datetime, night: str) -> None:
    request = tick(place, at)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == (night, night)
    assert int(request.tags["dagster/priority"]) > 0


def test_a_night_that_the_logs_do_not_cover_is_left_to_the_sensor_that_sees_them_arrive(place: Place) -> None:
    skipped = tick(place, datetime(2026, 10, 26, 7, tzinfo=UTC))
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == (
        f"the logs do not reach the end of 2026-10-25: {LAST_DAY} is the last day that they cover"
    )


def test_without_any_log_the_schedule_says_so(new_place: Place) -> None:
    skipped = tick(new_place, datetime(2026, 10, 25, 7, tzinfo=UTC))
    assert isinstance(skipped, dg.SkipReason)
    assert "no readable access log line" in str(skipped.skip_message)


def test_the_schedule_follows_the_setting_and_utc(place: Place) -> None:
    settings = replace(place.environment.settings, night_cron="30 5 * * *")
    early = replace(place, environment=replace(place.environment, settings=settings))
    schedule = build_nightly_schedule(early.installation)
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
