"""Sensors on a real instance: what they request is really run, and the tick repeated until it rests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from photo_popularity.attempts import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Attempts
from photo_popularity.healing import IN_FLIGHT
from resources.io_managers import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from resources.notification import build_notifier
from resources.settings import Settings
from tests.night_fixtures import QUIETLY, Place
from tests.photo_site import FIRST_DAY, LAST_DAY, log_line
from tests.services.webhook import webhook

P1 = "2026/10/01/p1.jpg"


def tick(place: Place, sensor: str, *, cursor: str | None = None) -> dg.SensorResult:
    definition = place.definitions.resolve_sensor_def(sensor)
    context = dg.build_sensor_context(
        instance=place.instance, cursor=cursor, sensor_name=sensor, definitions=place.definitions
    )
    result = definition(context)
    assert isinstance(result, dg.SensorResult)
    return result


def skipped(result: dg.SensorResult) -> str:
    assert not result.run_requests
    assert isinstance(result.skip_reason, dg.SkipReason)
    return str(result.skip_reason.skip_message)


def launch(place: Place, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    """Run what a sensor has requested, as the daemon would."""
    assert request.job_name
    assert request.asset_selection
    return place.definitions.resolve_job_def(request.job_name).execute_in_process(
        instance=place.instance,
        asset_selection=list(request.asset_selection),
        tags=dict(request.tags),
        run_config=QUIETLY,
        raise_on_error=False,
    )


def until_it_rests(place: Place, sensor: str, cursor: str | None = None) -> list[list[str]]:
    """The partitions of each run until the sensor skips."""
    made: list[list[str]] = []
    for _ in range(8):
        result = tick(place, sensor, cursor=cursor)
        cursor = result.cursor or cursor
        if not result.run_requests:
            assert skipped(result) == "nothing is out of date"
            return made
        [request] = result.run_requests
        run = launch(place, request)
        assert run.success
        made.append(
            sorted({e.partition for e in run.all_events if e.is_step_materialization and e.partition})
        )
    raise AssertionError(f"{sensor} does not come to rest: {made}")


def origin_of(job: str) -> RemoteJobOrigin:
    """Where a queued run would be loaded from: Dagster takes no queued run without it."""
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="photo_popularity.definitions"))
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job)


def pauses_over(cursor: str | None) -> str:
    """The cursor as it is once every pause is over."""
    return json.dumps({work: [count, 0.0] for work, (count, _) in json.loads(str(cursor)).items()})


def age(path: Path) -> None:
    """Make a file look as if nobody had written to it for a while."""
    import os

    os.utime(path, (1_700_000_000, 1_700_000_000))


def test_photo_files_that_arrive_change_and_disappear_are_run_until_nothing_is_out_of_date(
    place: Place,
) -> None:
    assert until_it_rests(place, "photo_files_sensor") == []
    age(place.site.write_photo("new.jpg", seed=9))
    place.site.photo_file("p1").write_bytes(place.site.photo_file("p2").read_bytes())
    age(place.site.photo_file("p1"))
    assert until_it_rests(place, "photo_files_sensor") == [[P1, "new.jpg"]]
    place.site.photo_file("p1").unlink()
    assert until_it_rests(place, "photo_files_sensor") == []
    assert P1 not in place.installation.catalog.current("photo_content")


def test_log_files_that_arrive_are_scanned_and_then_exactly_their_days_are_made_again(place: Place) -> None:
    late = place.site.logs / "late.log"
    late.write_text(
        log_line(datetime(2026, 10, 5, 12), "/photos/p1.jpg")
        + log_line(datetime(2026, 10, 9), "/photos/p2.jpg")
    )
    age(late)
    assert until_it_rests(place, "log_files_sensor") == [["late.log"]]
    made = until_it_rests(place, "changed_days_sensor")
    assert made[:2] == [["2026-10-05"], ["2026-10-09"]]
    # features follow from the first of them on, then examples, and in the end the last night's model
    assert made[2][0] == "2026-10-05"
    assert made[-1] == [str(LAST_DAY)]


def test_a_change_in_the_database_requests_only_the_day_that_it_touched(place: Place) -> None:
    place.site.change("UPDATE photos SET deleted_at = '2026-10-20 10:00:00' WHERE photo_id = 'p6'")
    [request] = tick(place, "photo_database_sensor").run_requests or []
    assert request.tags[PARTITION_TAG] == "2026-10-04"
    assert request.asset_selection == [dg.AssetKey("photo_metadata")]


def test_the_database_sensor_rests_once_every_day_up_to_yesterday_is_read(place: Place) -> None:
    made = until_it_rests(place, "photo_database_sensor")
    # the night of the fixture ended with the logs; the days since then are read now, in one run
    assert len(made) == 1
    assert min(made[0]) == "2026-10-25"


def test_a_file_that_is_still_being_written_waits_for_the_next_tick(place: Place) -> None:
    arriving = place.site.write_photo("arriving.jpg", seed=3)
    assert skipped(tick(place, "photo_files_sensor")) == "nothing is out of date"
    age(arriving)
    assert until_it_rests(place, "photo_files_sensor") == [["arriving.jpg"]]


def test_a_listing_that_fails_skips_with_its_reason_and_deletes_nothing(place: Place) -> None:
    tick(place, "photo_files_sensor")
    place.site.photos.rename(place.site.folder / "away")
    assert "no such folder (photo_files)" in skipped(tick(place, "photo_files_sensor"))
    assert len(place.installation.catalog.current("photo_content")) == 8
    assert len(place.instance.get_dynamic_partitions("photo_files")) == 8


@pytest.mark.parametrize(
    ("sensor", "setting", "sentence"),
    [
        ("photo_files_sensor", "photos", "no folder is set for photo_files; give --photos FOLDER"),
        ("log_files_sensor", "logs", "no folder is set for log_files; give --logs FOLDER"),
        ("photo_database_sensor", "database", "no photo database is set"),
        ("photo_files_sensor", "classifier", "no cat/dog classifier is set"),
    ],
)
def test_a_source_that_is_not_set_skips_with_what_to_set(
    place: Place, sensor: str, setting: str, sentence: str
) -> None:
    settings = replace(place.environment.settings, **{setting: ""})  # type: ignore[arg-type]
    unset = replace(place, environment=replace(place.environment, settings=settings))
    assert sentence in skipped(tick(unset, sensor))


def test_an_installation_without_any_settings_skips_every_sensor(new_place: Place) -> None:
    empty = replace(new_place, environment=replace(new_place.environment, settings=Settings()))
    for sensor in ("photo_files_sensor", "log_files_sensor", "photo_database_sensor", "changed_days_sensor"):
        assert skipped(tick(empty, sensor))


@pytest.mark.parametrize("status", IN_FLIGHT)
@pytest.mark.parametrize("by_hand", [False, True])
def test_while_a_run_is_in_flight_what_has_changed_waits(
    place: Place, status: dg.DagsterRunStatus, by_hand: bool
) -> None:
    age(place.site.write_photo("new.jpg", seed=9))
    name = "__ASSET_JOB" if by_hand else "photo_files_job"
    job = (
        place.definitions.resolve_implicit_global_asset_job_def()
        if by_hand
        else place.definitions.resolve_job_def(name)
    )
    place.instance.create_run_for_job(
        job,
        status=status,
        asset_selection=frozenset({dg.AssetKey("photo_content")}),
        remote_job_origin=origin_of(job.name),
    )
    assert "in flight" in skipped(tick(place, "photo_files_sensor"))


def test_a_run_over_other_assets_holds_nothing_up(place: Place) -> None:
    age(place.site.write_photo("new.jpg", seed=9))
    job = place.definitions.resolve_job_def("nightly_job")
    place.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset({dg.AssetKey("popularity_model")})
    )
    assert tick(place, "photo_files_sensor").run_requests


def in_flight(place: Place, job: str) -> None:
    """A run of the whole job that has begun."""
    definition = place.definitions.resolve_job_def(job)
    place.instance.create_run_for_job(definition, status=dg.DagsterRunStatus.STARTED)


def end_all(place: Place) -> None:
    for run in place.instance.get_runs():
        if not run.is_finished:
            place.instance.report_run_canceled(run)


def selected(result: dg.SensorResult) -> set[str]:
    """The assets that a sensor requests."""
    return {
        key.to_user_string() for request in result.run_requests or [] for key in request.asset_selection or ()
    }


def test_days_wait_for_a_run_that_makes_what_they_read(place: Place) -> None:
    """Risk: they would be made after each handful of files, and once more at the end."""
    file = place.site.photo_file("p5")
    file.write_bytes(place.site.photo_file("p2").read_bytes())
    age(file)
    place.settle("photo_content")
    in_flight(place, "photo_files_job")
    waits = skipped(tick(place, "changed_days_sensor"))
    assert waits == (
        "nothing is out of date but what waits for the runs that make cat_dog_scores, photo_content"
    )
    end_all(place)
    assert "photo_features" in selected(tick(place, "changed_days_sensor"))


def test_days_wait_for_log_files_whose_days_nobody_knows_yet(place: Place) -> None:
    place.site.change("DELETE FROM photos WHERE photo_id = 'p8'")
    place.settle("photo_metadata")
    log = place.site.logs / "access.log-late"
    log.write_text(log_line(datetime(2026, 10, 20, 7), "/photos/p1.jpg"))
    age(log)
    place.detect()
    in_flight(place, "log_files_job")
    assert "log_signals" in skipped(tick(place, "changed_days_sensor"))
    end_all(place)
    assert "photo_features" in selected(tick(place, "changed_days_sensor"))


def test_a_run_over_photos_of_later_days_holds_no_night_up(place: Place) -> None:
    """Risk: on a site with uploads all day there is a run at each look."""
    place.site.change("DELETE FROM photos WHERE photo_id = 'p8'")
    place.settle("photo_metadata")
    age(place.site.write_photo("2026/10/25/new.jpg", seed=9))
    place.detect()
    in_flight(place, "photo_files_job")
    assert "photo_features" in selected(tick(place, "changed_days_sensor"))


def test_a_run_over_edited_rows_holds_no_day_up(place: Place) -> None:
    """Risk: on a site whose users edit all day there is a run at each look."""
    place.site.change("DELETE FROM photos WHERE photo_id = 'p8'")
    place.settle("photo_metadata")
    place.site.change("UPDATE photos SET title = 'x' WHERE photo_id = 'p2'")
    place.detect()
    in_flight(place, "photo_database_job")
    assert "photo_features" in selected(tick(place, "changed_days_sensor"))


def test_content_that_returns_to_an_earlier_state_runs_again(place: Place) -> None:
    file, cursor = place.site.photo_file("p1"), None
    first, second = file.read_bytes(), place.site.photo_file("p2").read_bytes()
    for turn, content in enumerate((second, first, second, first)):
        # there and back again within a minute is the same work as before, and waits its pause
        cursor = pauses_over(cursor) if turn > 1 else cursor
        file.write_bytes(content)
        age(file)
        result = tick(place, "photo_files_sensor", cursor=cursor)
        cursor = result.cursor
        [request] = result.run_requests or []
        assert launch(place, request).success


def test_work_that_failed_waits_and_does_not_keep_other_work_waiting(place: Place) -> None:
    """Risk: one broken day at the front of the queue would stop all that comes after it."""
    place.site.change("UPDATE photos SET title = 'x' WHERE photo_id IN ('p2', 'p6')")
    first = tick(place, "photo_database_sensor")
    [request] = first.run_requests or []
    assert request.tags[PARTITION_TAG] == "2026-10-02"
    second = tick(place, "photo_database_sensor", cursor=first.cursor)
    [request] = second.run_requests or []
    assert request.tags[PARTITION_TAG] == "2026-10-04"
    third = tick(place, "photo_database_sensor", cursor=second.cursor)
    [request] = third.run_requests or []
    assert request.tags[RANGE_START_TAG] == "2026-10-25"
    assert "3 pieces of work were requested before" in skipped(
        tick(place, "photo_database_sensor", cursor=third.cursor)
    )
    after = tick(place, "photo_database_sensor", cursor=pauses_over(third.cursor))
    [request] = after.run_requests or []
    assert request.tags[PARTITION_TAG] == "2026-10-02"


def test_the_pause_doubles_up_to_an_hour_and_is_forgotten_when_it_is_long_over() -> None:
    attempts, now, pauses = Attempts(), 1_000_000.0, []
    for _ in range(8):
        assert attempts.may_start("work", now)
        attempts = attempts.with_start("work", now)
        until = attempts.requested["work"][1]
        assert not attempts.may_start("work", until - 1)
        pauses.append(until - now)
        now = until
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert (FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS) == (60.0, 3600.0)
    assert "work" not in attempts.with_start("other", now + 3 * LONGEST_PAUSE_SECONDS).requested


def test_a_pause_that_began_by_a_clock_ahead_of_now_keeps_nothing_waiting() -> None:
    attempts = Attempts().with_start("work", 2_000_000.0)
    assert not attempts.may_start("work", 2_000_000.0)
    assert attempts.may_start("work", 1_000_000.0)


def test_the_attempts_survive_as_a_cursor() -> None:
    attempts = Attempts().with_start("a", 10.0).with_start("b", 20.0)
    assert Attempts.from_cursor(attempts.to_cursor()) == attempts
    assert Attempts.from_cursor(None) == Attempts()


def a_failed_run(place: Place) -> dg.ExecuteInProcessResult:
    place.site.change("ALTER TABLE photos RENAME TO pictures")
    result = place.materialize("photo_metadata", **{PARTITION_TAG: str(FIRST_DAY)})
    assert not result.success
    return result


def tell_of(place: Place, failed: dg.ExecuteInProcessResult) -> None:
    sensor = place.definitions.resolve_sensor_def("failed_runs_sensor")
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs_sensor",
        dagster_instance=place.instance,
        dagster_run=failed.dagster_run,
        dagster_event=failed.get_run_failure_event(),
    ).for_run_failure()
    sensor(context)


def test_a_failed_run_is_told_to_the_webhook(place: Place) -> None:
    failed = a_failed_run(place)
    with webhook() as (url, received):
        settings = replace(place.environment.settings, failure_webhook=url)
        tell_of(replace(place, environment=replace(place.environment, settings=settings)), failed)
    [(_, body)] = received
    message = json.loads(body)
    assert message["run_id"] == failed.run_id
    assert message["partition"] == str(FIRST_DAY)
    assert "failed in photo_metadata" in message["text"]


def test_without_a_webhook_nobody_is_told(place: Place) -> None:
    tell_of(place, a_failed_run(place))
    build_notifier("").notify({"text": "nobody hears this"})


def test_the_changed_days_sensor_takes_no_day_that_the_logs_do_not_cover(place: Place) -> None:
    file = place.site.log_file(date(2026, 10, 25))
    file.write_text(log_line(datetime(2026, 10, 25, 7), "/photos/p1.jpg"))
    age(file)
    assert until_it_rests(place, "log_files_sensor") == [["access.log-20261025"]]
    assert until_it_rests(place, "changed_days_sensor") == []


def test_a_range_that_a_sensor_requests_holds_exactly_the_files_that_changed(place: Place) -> None:
    for photo_id in ("p1", "p5", "p8"):
        file = place.site.photo_file(photo_id)
        file.write_bytes(place.site.photo_file("p2").read_bytes())
        age(file)
    [request] = tick(place, "photo_files_sensor").run_requests or []
    assert {RANGE_START_TAG, RANGE_END_TAG} <= request.tags.keys()
    made = {e.partition for e in launch(place, request).all_events if e.is_step_materialization}
    assert made == {P1, "2026/10/03/p5.jpg", "2026/10/05/p8.jpg"}
