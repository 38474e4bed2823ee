"""Which partitions are out of date, for everything that can happen to a source, and what goes into one run."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from photo_popularity.definitions import PIPELINE
from photo_popularity.domain.errors import InputError
from photo_popularity.planning import Batch, first_known_day, last_complete_day, next_batch, range_tags
from resources.catalog_records import Output
from resources.environment import Environment
from resources.installation import install
from resources.io_managers import RANGE_END_TAG, RANGE_START_TAG, WORK_ORDER_TAG
from tests.night_fixtures import Place
from tests.photo_site import FIRST_DAY, LAST_DAY, lines_of_a_file, log_line

DAY_STEPS = ("photo_metadata", "behavior_signals", "photo_features", "training_examples")
ALL_DAYS = [str(FIRST_DAY + timedelta(days=offset)) for offset in range(24)]


def days_from(first: str) -> list[str]:
    return [day for day in ALL_DAYS if day >= first]


def test_nothing_is_out_of_date_after_a_night(place: Place) -> None:
    place.detect()
    assert place.stale() == {}


def test_a_photo_file_that_was_only_touched_makes_nothing_out_of_date(place: Place) -> None:
    os.utime(place.site.photo_file("p3"), (1, 1))
    found = place.detect()
    assert found["photo_files"].touched == ("2026/10/02/p3.jpg",)
    assert place.stale() == {}


def test_an_edited_photo_file_is_read_and_scored_again_and_features_follow_from_its_upload_on(
    place: Place,
) -> None:
    place.site.photo_file("p3").write_bytes(place.site.photo_file("p4").read_bytes())
    place.detect()
    assert place.stale() == {key: ["2026/10/02/p3.jpg"] for key in ("photo_content", "cat_dog_scores")}
    batches = place.settle("photo_content", "cat_dog_scores", "photo_features")
    assert batches == [
        (("photo_content", "cat_dog_scores"), ["2026/10/02/p3.jpg"]),
        (("photo_features",), days_from("2026-10-02")),
    ]


def test_a_deleted_photo_file_withdraws_its_outputs_and_features_follow(place: Place) -> None:
    place.site.photo_file("p3").unlink()
    place.detect()
    assert "2026/10/02/p3.jpg" not in place.installation.catalog.current("photo_content")
    assert "2026/10/02/p3.jpg" not in place.installation.catalog.current("cat_dog_scores")
    assert place.stale() == {
        "photo_features": days_from("2026-10-02"),
        "popularity_predictions": [str(LAST_DAY)],
    }


def test_a_file_that_arrives_is_the_only_one_read(place: Place) -> None:
    place.site.write_photo("new, and odd.jpg", seed=9)
    place.detect()
    assert place.stale() == {key: ["new%2C and odd.jpg"] for key in ("photo_content", "cat_dog_scores")}
    assert place.settle("photo_content", "cat_dog_scores")
    assert place.stale() == {}


def test_a_log_file_edited_recomputes_the_two_days_inside_it(place: Place) -> None:
    file = place.site.log_file(date(2026, 10, 10))
    file.write_text(file.read_text() + log_line(datetime(2026, 10, 10, 12), "/photos/p1.jpg"))
    assert place.settle("log_signals", *DAY_STEPS) == [
        (("log_signals",), ["access.log-20261010"]),
        (("behavior_signals",), ["2026-10-10", "2026-10-11"]),
        # the 11th came out as it was before: only the 10th has other signals, and features look back 28 days
        (("photo_features",), days_from("2026-10-10")),
        (("training_examples",), days_from("2026-10-10")),
    ]


def test_a_log_file_that_lost_a_day_recomputes_the_day_that_was_inside_before(place: Place) -> None:
    file = place.site.log_file(date(2026, 10, 10))
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "[10/Oct" in line))
    batches = place.settle("log_signals", "behavior_signals")
    assert batches[1] == (("behavior_signals",), ["2026-10-10", "2026-10-11"])


def test_a_deleted_log_file_recomputes_the_days_that_were_inside(place: Place) -> None:
    place.site.log_file(LAST_DAY).unlink()
    place.site.log_file(FIRST_DAY).unlink()
    assert place.settle("log_signals", "behavior_signals") == [
        (("behavior_signals",), ["2026-10-01", "2026-10-02"]),
        (("behavior_signals",), ["2026-10-24"]),
    ]
    assert place.installation.catalog.current("behavior_signals")["2026-10-01"].rows == 0


def test_a_late_log_file_recomputes_the_days_inside_it(place: Place) -> None:
    late = place.site.logs / "late-from-the-second-server.log"
    late.write_text("".join(lines_of_a_file(date(2026, 10, 5), {"p1": datetime(2026, 10, 1)})))
    assert place.settle("log_signals", "behavior_signals") == [
        (("log_signals",), [late.name]),
        (("behavior_signals",), ["2026-10-05", "2026-10-06"]),
    ]


def test_an_edit_in_the_database_makes_that_upload_day_again_then_features_from_it_on(place: Place) -> None:
    place.site.change("UPDATE photos SET title = 'other', owner_id = 'bob' WHERE photo_id = 'p6'")
    place.detect()
    assert place.stale() == {"photo_metadata": ["2026-10-04"]}
    assert place.settle("photo_metadata", "photo_features") == [
        (("photo_metadata",), ["2026-10-04"]),
        (("photo_features",), days_from("2026-10-04")),
    ]


def test_a_day_whose_last_row_is_gone_is_made_once_more_and_is_empty(place: Place) -> None:
    place.site.change("DELETE FROM photos WHERE photo_id IN ('p6', 'p7')")
    assert place.settle("photo_metadata") == [(("photo_metadata",), ["2026-10-04"])]
    assert place.installation.catalog.current("photo_metadata")["2026-10-04"].rows == 0


def test_another_classifier_scores_every_photo_again(place: Place) -> None:
    classifier = place.site.folder / "classifier.skops"
    classifier.write_bytes(classifier.read_bytes() + b"\0")
    place.detect()
    assert list(place.stale()) == ["cat_dog_scores"]
    assert len(place.stale()["cat_dog_scores"]) == 8


@pytest.mark.parametrize(
    "rule", [{"visitor_salt": "other"}, {"own_hosts": ("www.photos.example",)}, {"robot_patterns": ("x",)}]
)
def test_another_counting_rule_scans_every_log_again(place: Place, rule: dict[str, Any]) -> None:
    settings = replace(place.environment.settings, **rule)
    changed = replace(place, environment=replace(place.environment, settings=settings))
    changed.detect()
    assert list(changed.stale()) == ["log_signals"]
    assert len(changed.stale()["log_signals"]) == 24


def test_on_a_new_site_every_step_misses_what_it_should_have(new_place: Place) -> None:
    new_place.detect()
    missing = {step: len(keys) for step, keys in new_place.stale().items()}
    assert missing["photo_content"] == 8
    assert missing["log_signals"] == 24
    # from the first upload on; days with log lines are known once the logs are read
    assert missing["photo_metadata"] == 24


def test_steps_that_need_the_same_go_in_one_run_and_none_before_what_it_reads(place: Place) -> None:
    catalog = place.installation.catalog
    catalog.withdraw("photo_metadata", ["2026-10-04"])
    catalog.withdraw("behavior_signals", ["2026-10-03", "2026-10-04"])
    catalog.withdraw("photo_features", ["2026-10-04"])
    # behaviour of the 3rd is still to come after the first run, and features look back on it
    assert place.settle(*DAY_STEPS) == [
        (("photo_metadata", "behavior_signals"), ["2026-10-04"]),
        (("behavior_signals", "photo_features"), ["2026-10-03"]),
        (("photo_features",), ["2026-10-04"]),
    ]


def test_a_step_does_not_run_beside_one_that_will_change_what_it_reads(place: Place) -> None:
    """Risk: features look up to date until the new metadata is there, and examples would be made from the old ones."""
    place.site.change("UPDATE photos SET owner_id = 'bob' WHERE photo_id = 'p6'")
    place.installation.catalog.withdraw("training_examples", ["2026-10-04"])
    assert [(steps, days[0]) for steps, days in place.settle(*DAY_STEPS)][:3] == [
        (("photo_metadata",), "2026-10-04"),
        (("photo_features",), "2026-10-04"),
        (("training_examples",), "2026-10-04"),
    ]


def test_on_a_new_site_all_days_are_made_in_one_run(new_place: Place) -> None:
    new_place.settle("photo_content", "cat_dog_scores", "log_signals")
    assert new_place.settle(*DAY_STEPS) == [(DAY_STEPS, ALL_DAYS)]


def test_days_with_a_gap_between_them_are_two_runs_in_order(place: Place) -> None:
    place.installation.catalog.withdraw("behavior_signals", ["2026-10-03", "2026-10-05", "2026-10-06"])
    batches = place.settle("behavior_signals")
    assert [days for _, days in batches] == [["2026-10-03"], ["2026-10-05", "2026-10-06"]]


def test_what_reads_a_rejected_output_waits_until_that_is_made_again(place: Place) -> None:
    """Risk: the jobs of files and of days are apart, so a blocking check in one stops nothing in the other."""
    file = place.site.log_file(date(2026, 10, 10))
    file.write_text(file.read_text() + log_line(datetime(2026, 10, 10, 12), "/photos/p1.jpg"))
    assert len(place.settle("log_signals")) == 1
    place.reject("log_signals", "access.log-20261010")
    tried = {("log_signals", "access.log-20261010")}
    nights = ("log_signals", *DAY_STEPS, "popularity_model", "model_evaluation", "popularity_predictions")
    assert next_batch(place.installation, LAST_DAY, steps=nights, done=tried) is None
    batch = next_batch(place.installation, LAST_DAY, steps=nights)
    assert batch is not None
    assert (batch.steps, batch.partitions) == (("log_signals",), ("access.log-20261010",))
    assert place.execute(batch).success
    following = next_batch(place.installation, LAST_DAY, steps=nights)
    assert following is not None
    assert (following.steps, following.partitions) == (("behavior_signals",), ("2026-10-10", "2026-10-11"))


def test_a_rejected_output_is_refused_to_a_run_that_somebody_launches_by_hand(place: Place) -> None:
    place.detect()
    place.reject("log_signals", "access.log-20261010")
    result = place.materialize("behavior_signals", **{"dagster/partition": "2026-10-10"})
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "access.log-20261010 was rejected by the check of a test" in str(
        failure.step_failure_data.user_failure_data
    )


def test_the_tags_of_a_batch_of_files_name_a_range_that_holds_exactly_them(place: Place) -> None:
    place.detect()
    keys = ("2026/10/01/p1.jpg", "2026/10/05/p8.jpg")
    tags = range_tags(place.installation, Batch(("photo_content",), keys, "photo_files"), place.instance)
    present = place.instance.get_dynamic_partitions("photo_files")
    chosen = present[present.index(tags[RANGE_START_TAG]) : present.index(tags[RANGE_END_TAG]) + 1]
    assert tuple(chosen) == keys
    assert len(present) == 8


def test_a_run_whose_files_were_moved_to_another_run_fails_with_that_reason(place: Place) -> None:
    place.detect()
    first = Batch(("photo_content",), ("2026/10/01/p1.jpg", "2026/10/05/p8.jpg"), "photo_files")
    tags = range_tags(place.installation, first, place.instance)
    other = Batch(("photo_content",), ("2026/10/02/p3.jpg", "2026/10/05/p8.jpg"), "photo_files")
    range_tags(place.installation, other, place.instance)
    result = place.materialize("photo_content", **tags)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "moved to another run" in str(failure.step_failure_data)
    assert WORK_ORDER_TAG in tags


@pytest.mark.parametrize(
    ("last_moments", "expected"),
    [
        (["2026-10-10T23:00:00+00:00"], date(2026, 10, 10)),  # an hour of silence at the end is a quiet site
        (["2026-10-10T22:59:59+00:00"], date(2026, 10, 9)),
        (["2026-10-10T23:30:00+00:00", "2026-10-04T12:00:00+00:00"], date(2026, 10, 10)),
        (
            ["2026-10-05T12:00:00+00:00", "2099-01-01T12:00:00+00:00"],
            date(2026, 10, 4),
        ),  # a clock that is wrong says nothing
    ],
)
def test_the_night_is_the_last_day_that_the_logs_cover(
    tmp_path: Path, last_moments: list[str], expected: date
) -> None:
    installation = install(Environment("local", "ann", tmp_path), PIPELINE)
    outputs = {
        f"log{n}": Output(str(n), detail={"last_moment": moment}) for n, moment in enumerate(last_moments)
    }
    installation.catalog.set_current("log_signals", outputs)
    assert last_complete_day(installation, over=date(2026, 10, 20)) == expected


def test_without_a_readable_log_line_no_day_is_complete(new_place: Place) -> None:
    with pytest.raises(InputError, match="no readable access log line"):
        last_complete_day(new_place.installation)


def test_the_first_day_is_that_of_the_first_upload_or_of_the_logs_a_month_before_it(place: Place) -> None:
    catalog = place.installation.catalog
    assert first_known_day(place.installation) == FIRST_DAY
    catalog.set_current("log_signals", {"old": Output("1", index=("2026-09-20", "1970-01-01"))})
    assert first_known_day(place.installation) == date(2026, 9, 20)
    catalog.withdraw("photo_database", catalog.current("photo_database"))
    with pytest.raises(InputError, match="no usable photo"):
        first_known_day(place.installation)


def test_yesterday_is_the_last_utc_day_that_is_over() -> None:
    from photo_popularity.planning import yesterday

    assert yesterday() == (datetime.now(UTC) - timedelta(days=1)).date()
