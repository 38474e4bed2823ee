"""What a person launches in Dagster's pages, and what the sensors launch: seen in the pages, and in the catalog."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from partitions.files import path_of
from tests.end_to_end.dagster_site import NIGHT, assert_dagster_agrees
from tests.end_to_end.dagster_ui import DagsterUI, screenshot, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.end_to_end, pytest.mark.browser]

# files younger than half a minute are left alone: they may still be written
AGE_SECONDS = 120
LOG_LINE = '10.9.9.{number} - - [23/Oct/2026:12:00:00 +0000] "GET /photos/{photo}.jpg HTTP/1.1" 200 100 "-" "Mozilla/5.0"\n'


def dialog_for(ui: DagsterUI, page: Page, asset: str) -> Locator:
    """The dialog behind the asset's button `Materialize`."""
    ui.open(page, f"/assets/{asset}?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Partition selection").wait_for()
    return dialog


def choose_days(dialog: Locator, days: str) -> None:
    """Type a day, or a range of days, into the dialog."""
    field = dialog.locator("input[type=text]").first
    field.fill(days)
    field.press("Enter")


def status_of(ui: DagsterUI, backfill: str) -> str:
    """The status of a backfill."""
    query = "query B($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
    return str(ui.graphql(query, id=backfill)["partitionBackfillOrError"]["status"])


def test_a_day_is_materialized_from_its_page(ui: DagsterUI, browser_page: Page) -> None:
    before = ui.site.current("behavior_signals")["2026-10-20"]
    dialog = dialog_for(ui, browser_page, "behavior_signals")
    choose_days(dialog, "2026-10-20")
    screenshot(browser_page, "20-materialize-a-day")
    with ui.new_runs() as runs:
        dialog.get_by_role("button", name="Launch 1 run").click()
    [run] = runs
    assert run["status"] == "SUCCESS"
    after = ui.site.current("behavior_signals")["2026-10-20"]
    assert after.run_id == run["runId"] != before.run_id
    assert after.content_version == before.content_version
    ui.open(browser_page, f"/runs/{run['runId']}")
    browser_page.get_by_text("Success", exact=True).first.wait_for()
    browser_page.get_by_text("RUN_SUCCESS", exact=True).wait_for()
    screenshot(browser_page, "21-run-of-a-day")


def test_a_file_is_materialized_from_its_page(ui: DagsterUI, browser_page: Page) -> None:
    key = sorted(ui.site.current("photo_content"))[5]
    dialog = dialog_for(ui, browser_page, "photo_content")
    dialog.get_by_text("Select a partition").click()
    browser_page.get_by_placeholder("Filter partitions").fill(key)
    browser_page.get_by_text(key, exact=True).locator("visible=true").last.click()
    browser_page.keyboard.press("Escape")
    screenshot(browser_page, "22-materialize-a-file")
    with ui.new_runs() as runs:
        dialog.get_by_role("button", name="Launch 1 run").click()
    [run] = runs
    assert run["status"] == "SUCCESS"
    assert ui.site.current("photo_content")[key].run_id == run["runId"]
    ui.open(browser_page, f"/assets/photo_content?view=partitions&partition={key}")
    browser_page.get_by_text(run["runId"][:8]).first.wait_for()
    screenshot(browser_page, "23-partition-of-a-file")


def test_a_backfill_of_days_is_launched_and_completes(ui: DagsterUI, browser_page: Page) -> None:
    days = ["2026-10-18", "2026-10-19", "2026-10-20"]
    dialog = dialog_for(ui, browser_page, "photo_features")
    choose_days(dialog, f"[{days[0]}...{days[-1]}]")
    screenshot(browser_page, "24-backfill")
    with ui.new_runs() as runs:
        dialog.get_by_role("button", name="Launch backfill").click()
        browser_page.wait_for_timeout(2000)
        screenshot(browser_page, "25-backfill-launched")
    assert [run["status"] for run in runs] == ["SUCCESS"]
    current = ui.site.current("photo_features")
    assert {current[day].run_id for day in days} == {runs[0]["runId"]}
    tags = {tag["key"]: tag["value"] for tag in runs[0]["tags"]}
    backfill = tags["dagster/backfill"]
    wait_for(lambda: status_of(ui, backfill) == "COMPLETED_SUCCESS", "the backfill to complete")
    ui.open(browser_page, f"/runs/b/{backfill}")
    browser_page.get_by_text("100% completed").wait_for()
    screenshot(browser_page, "26-backfill-complete")


def test_a_failed_run_says_in_one_sentence_what_is_wrong(ui: DagsterUI, browser_page: Page) -> None:
    database = ui.site.folder / "site.sqlite"
    dialog = dialog_for(ui, browser_page, "photo_metadata")
    choose_days(dialog, NIGHT)
    aside = database.rename(database.with_suffix(".aside"))
    try:
        with ui.new_runs() as runs:
            dialog.get_by_role("button", name="Launch 1 run").click()
    finally:
        aside.rename(database)
    [run] = runs
    assert run["status"] == "FAILURE"
    [told] = ui.site.installation.catalog.executions(run_id=run["runId"])[:1]
    assert told.status == "failed"
    assert told.error is not None
    assert str(database) in told.error
    ui.open(browser_page, f"/runs/{run['runId']}")
    browser_page.get_by_text("STEP_FAILURE", exact=True).first.wait_for()
    browser_page.get_by_text(str(database)).first.wait_for()
    screenshot(browser_page, "27-failed-run")
    ui.open(browser_page, f"/assets/photo_metadata?view=partitions&partition={NIGHT}")
    browser_page.get_by_text("Failed (1)").wait_for()
    screenshot(browser_page, "28-failed-partition")


def turn_on(ui: DagsterUI, page: Page, sensor: str) -> None:
    """Press the switch on the sensor's page."""
    ui.open(page, f"/locations/photo_popularity/sensors/{sensor}")
    page.get_by_text("Running", exact=True).first.wait_for()
    page.locator("label:has(input[type=checkbox])").first.click()


def test_sensors_take_a_new_photo_and_a_new_log_and_nothing_else(ui: DagsterUI, browser_page: Page) -> None:
    site, old = ui.site, time.time() - AGE_SECONDS
    photos, logs = site.folder / "photos", site.folder / "logs"
    before = {asset: site.current(asset) for asset in ("photo_content", "log_signals", "behavior_signals")}
    someone = sorted(before["photo_content"])[-1]
    shutil.copyfile(photos / path_of(someone), photos / "2026/10/24/brandnew.jpg")
    log = "".join(LOG_LINE.format(number=number, photo=path_of(someone)[-10:-4]) for number in range(3))
    (logs / "access.log-extra").write_text(log)
    for new in (photos / "2026/10/24/brandnew.jpg", logs / "access.log-extra"):
        os.utime(new, (old, old))
    with ui.new_runs(3) as runs:
        for sensor in ("photo_files_sensor", "log_files_sensor"):
            turn_on(ui, browser_page, sensor)
        wait_for(lambda: "access.log-extra" in site.current("log_signals"), "the new log to be read")
        turn_on(ui, browser_page, "changed_days_sensor")
    assert {run["status"] for run in runs} == {"SUCCESS"}
    screenshot(browser_page, "29-sensor")
    after = {asset: site.current(asset) for asset in before}
    made = {
        asset: {key for key, output in after[asset].items() if output != before[asset].get(key)}
        for asset in before
    }
    assert made == {
        "photo_content": {"2026/10/24/brandnew.jpg"},
        "log_signals": {"access.log-extra"},
        "behavior_signals": {"2026-10-23"},
    }
    assert_dagster_agrees(site, "photo_content", "cat_dog_scores", "log_signals", "behavior_signals")
    ui.open(browser_page, "/runs")
    browser_page.get_by_text("photo_files_sensor").first.wait_for()
    screenshot(browser_page, "30-runs-of-sensors")
