"""The whole night on a small site: what it makes, what it leaves alone, and what it survives."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd
import pytest

from photo_popularity.detection import Changes
from photo_popularity.domain.errors import InputError
from photo_popularity.night import Observer, run_night
from photo_popularity.planning import Batch
from resources.io_managers import MAX_RETRIES, PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from tests.night_fixtures import Place
from tests.photo_site import LAST_DAY, log_line
from tests.services.ports import HOST, free_port

P1 = "2026/10/01/p1.jpg"


class Heard(Observer):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.sources: dict[str, str] = {}
        self.runs: list[tuple[tuple[str, ...], bool]] = []

    def detected(self, source: str, changes: Changes) -> None:
        self.sources[source] = str(changes)

    def finished(self, batch: Batch, run_id: str, *, succeeded: bool) -> None:
        self.runs.append((batch.steps, succeeded))


def data_versions(place: Place, asset: str) -> dict[str, str]:
    """The data version that Dagster shows for each partition."""
    found = {}
    key = dg.AssetKey(asset)
    for partition in place.installation.catalog.current(asset):
        record = place.instance.get_latest_data_version_record(key, partition_key=partition)
        assert record is not None
        assert record.asset_materialization is not None
        found[partition] = (record.asset_materialization.tags or {})["dagster/data_version"]
    return found


def content_versions(place: Place, asset: str) -> dict[str, str]:
    return {key: output.content_version for key, output in place.installation.catalog.current(asset).items()}


def latest(place: Place, asset: str, partition: str) -> dg.AssetMaterialization:
    event = place.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records[0]
    assert event.asset_materialization is not None
    return event.asset_materialization


def test_a_night_makes_everything_and_the_second_one_nothing(new_place: Place) -> None:
    heard = Heard()
    first = run_night(new_place.environment, new_place.instance, observer=heard)
    assert first.day == LAST_DAY
    assert not first.failed_runs
    assert heard.sources == {"photo_files": "8 new", "log_files": "24 new", "photo_database": "5 new"}
    assert [steps for steps, _ in heard.runs] == [
        ("photo_content", "cat_dog_scores"),
        ("log_signals",),
        ("photo_metadata", "behavior_signals", "photo_features", "training_examples"),
        ("popularity_model", "model_evaluation", "popularity_predictions"),
    ]
    again = Heard()
    assert run_night(new_place.environment, new_place.instance, observer=again).run_ids == []
    assert set(again.sources.values()) == {"unchanged"}
    # for ranges, for ranges of files and for single partitions alike
    for asset in (
        "photo_content",
        "log_signals",
        "quarantined_lines",
        "photo_features",
        "popularity_predictions",
    ):
        assert data_versions(new_place, asset) == content_versions(new_place, asset)
    rows = latest(new_place, "behavior_signals", "2026-10-05").metadata
    assert (
        rows["dagster/row_count"].value
        == new_place.installation.catalog.current("behavior_signals")["2026-10-05"].rows
    )
    predicted = latest(new_place, "popularity_predictions", str(LAST_DAY)).metadata
    assert str(predicted["most_popular"].value).startswith("![](data:image/png;base64,")
    daily = latest(new_place, "behavior_signals", str(LAST_DAY)).metadata
    assert str(daily["daily_views"].value).startswith("![](data:image/png;base64,")
    assert all(
        len(str(metadata.value)) < 200_000 for metadata in [predicted["most_popular"], daily["daily_views"]]
    )


def test_until_fixes_the_night(place: Place) -> None:
    night = run_night(place.environment, place.instance, until=date(2026, 10, 23), run_config=None)
    assert night.day == date(2026, 10, 23)
    assert set(place.installation.catalog.current("popularity_predictions")) == {"2026-10-23", "2026-10-24"}


@pytest.mark.parametrize(
    ("until", "sentence"),
    [
        (datetime.now(UTC).date() + timedelta(days=1), "is not over yet"),
        (
            date(2020, 1, 1),
            "nothing is known up to 2020-01-01: the first upload or log line is of 2026-10-01",
        ),
    ],
)
def test_a_night_that_cannot_be_is_one_sentence(place: Place, until: date, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run_night(place.environment, place.instance, until=until)
    assert place.instance.get_runs_count() == 0


def test_a_failure_is_told_and_does_not_stop_the_rest(place: Place) -> None:
    """The classifier is no classifier: scores fail, logs and days go on."""
    (place.site.folder / "classifier.skops").write_bytes(b"no model")
    file = place.site.log_file(LAST_DAY)
    file.write_text(file.read_text() + log_line(datetime(2026, 10, 24, 12), "/photos/p1.jpg"))
    night = place.run_night()
    assert len(night.failed_runs) == 1
    assert len(night.run_ids) > 3
    failed = place.installation.catalog.executions(run_id=night.failed_runs[0])
    assert {(e.asset, e.status) for e in failed} == {("cat_dog_scores", "failed")}
    assert place.stale() == {"cat_dog_scores": sorted(place.installation.catalog.current("photo_files"))}


def test_one_unreadable_log_file_does_not_stop_the_others(place: Place) -> None:
    (place.site.logs / "packed.log.xz").write_bytes(b"\xfd7zXZ\0 what xz files start with")
    (place.site.logs / "good.log").write_text(log_line(datetime(2026, 10, 24, 12), "/photos/p1.jpg"))
    assert place.settle("log_signals") == [(("log_signals",), ["good.log", "packed.log.xz"])]
    outputs = place.installation.catalog.current("log_signals")
    assert outputs["good.log"].detail["good_lines"] == 1
    assert outputs["packed.log.xz"].detail["quarantined_lines"] == 1
    assert place.stale() == {"behavior_signals": ["2026-10-24"]}


def test_a_file_that_vanishes_between_the_look_and_the_run_does_not_stop_the_others(new_place: Place) -> None:
    new_place.detect()
    new_place.site.photo_file("p1").unlink()
    keys = sorted(new_place.installation.catalog.current("photo_files"))
    result = new_place.execute(Batch(("photo_content", "cat_dog_scores"), tuple(keys), "photo_files"))
    assert result.success
    assert len(new_place.installation.catalog.current("photo_content")) == 8
    # its row says that it could not be read; the next look withdraws it
    new_place.detect()
    assert P1 not in new_place.installation.catalog.current("photo_content")


def test_what_fails_for_good_is_not_tried_again_in_the_same_run(place: Place) -> None:
    place.site.change("ALTER TABLE photos RENAME TO pictures")
    result = place.materialize("photo_metadata", **{PARTITION_TAG: "2026-10-04"})
    assert not result.success
    assert attempts(result) == 1
    assert [e.status for e in place.installation.catalog.executions(run_id=result.run_id)] == ["failed"]
    assert place.installation.catalog.current("photo_metadata")["2026-10-04"].rows == 2


def test_what_may_pass_is_tried_again(place: Place) -> None:
    """A database server that does not answer: three attempts, each on record."""
    pytest.importorskip("psycopg2")
    settings = replace(place.environment.settings, database=f"postgresql://{HOST}:{free_port()}/site")
    unreachable = replace(place, environment=replace(place.environment, settings=settings))
    result = unreachable.materialize("photo_metadata", **{PARTITION_TAG: "2026-10-04"})
    assert not result.success
    assert attempts(result) == 1 + MAX_RETRIES
    executions = place.installation.catalog.executions(run_id=result.run_id)
    assert [e.status for e in executions] == ["failed"] * 3
    assert "cannot be read now" in str(executions[0].error)


def attempts(result: dg.ExecuteInProcessResult) -> int:
    kinds = ("STEP_START", "STEP_RESTARTED")
    return sum(e.event_type_value in kinds and e.step_key == "photo_metadata" for e in result.all_events)


def test_an_exception_between_file_and_catalog_leaves_the_old_output_current(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.catalog import Catalog

    before = content_versions(place, "photo_metadata")
    place.site.change("UPDATE photos SET title = 'other' WHERE photo_id = 'p6'")

    def killed(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "commit", killed)
        place.detect()
        assert not place.materialize("photo_metadata", **{PARTITION_TAG: "2026-10-04"}).success
    assert content_versions(place, "photo_metadata") == before
    assert place.stale() == {"photo_metadata": ["2026-10-04"]}
    assert place.settle("photo_metadata") == [(("photo_metadata",), ["2026-10-04"])]
    assert content_versions(place, "photo_metadata") != before


def test_a_range_launched_by_hand_writes_one_version_and_one_row_count_a_day(place: Place) -> None:
    tags = {RANGE_START_TAG: "2026-10-05", RANGE_END_TAG: "2026-10-08"}
    assert place.materialize("behavior_signals", "photo_features", **tags).success
    for asset in ("behavior_signals", "photo_features"):
        catalog = content_versions(place, asset)
        for day in ("2026-10-05", "2026-10-08"):
            event = latest(place, asset, day)
            assert (event.tags or {})["dagster/data_version"] == catalog[day]
    assert "daily_views" in latest(place, "behavior_signals", "2026-10-08").metadata
    assert "daily_views" not in latest(place, "behavior_signals", "2026-10-06").metadata


def test_a_run_without_a_partition_says_so(place: Place) -> None:
    result = place.materialize("photo_metadata")
    assert not result.success
    assert "names no partition" in json.dumps(
        [str(e.step_failure_data) for e in result.all_events if e.is_step_failure]
    )


def test_who_launched_a_run_is_on_record(place: Place) -> None:
    place.site.change("UPDATE photos SET title = 'Edited' WHERE photo_id = 'p1'")
    night = run_night(replace(place.environment, user="bea"), place.instance)
    executions = place.installation.catalog.executions(run_id=night.run_ids[0])
    assert {(e.launched_by, e.status, e.asset) for e in executions} == {
        ("bea", "succeeded", "photo_metadata"),
    }


def test_the_predictions_are_of_living_photos(place: Place) -> None:
    read = place.installation.storage.read_table(
        "popularity_predictions", place.installation.catalog.current("popularity_predictions")
    )
    assert isinstance(read, pd.DataFrame)
    assert sorted(read["photo_id"]) == [f"p{number}" for number in range(1, 9)]
