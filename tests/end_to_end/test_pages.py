"""What a person sees in Dagster's pages after the night: a real server, a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from photo_popularity.checks import RULES
from tests.end_to_end.dagster_site import NIGHT
from tests.end_to_end.dagster_ui import DagsterUI, screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.end_to_end, pytest.mark.browser]

ASSETS = """photo_metadata photo_content cat_dog_scores log_signals quarantined_lines behavior_signals photo_features
    training_examples popularity_model model_evaluation popularity_predictions""".split()
SOURCES = ["photo_database", "photo_files", "log_files"]
GROUPS = ["logs", "photos", "popularity", "sources"]
PICTURES = {
    "model_evaluation": ["predicted_vs_actual", "calibration", "feature_importance"],
    "popularity_predictions": ["most_popular"],
    "behavior_signals": ["daily_views"],
}
CHECKS = """query { assetNodes(assetKeys: [{path: ["behavior_signals"]}]) { assetChecksOrError { ... on AssetChecks {
  checks { name partitionStatuses { ... on AssetCheckTimePartitionStatuses { ranges { status startKey endKey } } } }
} } } }"""
WIDTHS_OF_IMAGES = "Array.from(document.querySelectorAll('[role=dialog] img'), image => image.naturalWidth)"


def test_the_graph_shows_all_assets_and_sources(ui: DagsterUI, browser_page: Page) -> None:
    groups = ",".join(f"global@global:{group}" for group in GROUPS)
    ui.open(browser_page, f"/asset-groups?expanded={groups}")
    browser_page.get_by_text(f"Materialize all ({len(ASSETS)})").wait_for()
    browser_page.get_by_text("quarantined_lines", exact=True).first.wait_for()
    shown = browser_page.locator("foreignObject").all_text_contents()
    # a name that is too long for its box is cut in the middle
    missing = [name for name in ASSETS + SOURCES if not any(_cut(name, text) for text in shown)]
    screenshot(browser_page, "01-graph")
    assert not missing


def _cut(name: str, shown: str) -> bool:
    first, _, last = shown.strip().partition("…")
    return name.startswith(first) and name.endswith(last) if last else name in shown


@pytest.mark.parametrize("asset", ASSETS)
def test_an_assets_page_tells_what_it_is(ui: DagsterUI, browser_page: Page, asset: str) -> None:
    ui.open(browser_page, f"/assets/{asset}?view=overview")
    browser_page.get_by_text("Latest materialization").first.wait_for()
    browser_page.get_by_text("Row count").wait_for()
    browser_page.get_by_text(
        "The model of a night" if asset == "popularity_model" else "One row is"
    ).first.wait_for()
    browser_page.get_by_text("photo-popularity", exact=True).first.wait_for()
    screenshot(browser_page, f"02-overview-{asset}")
    assert "non-nullable" in browser_page.locator("body").inner_text()


@pytest.mark.parametrize("source", ["photo_database", "photo_files", "log_files"])
def test_a_sources_page_tells_what_is_there_and_calls_nothing_missing(
    ui: DagsterUI, browser_page: Page, source: str
) -> None:
    ui.open(browser_page, f"/assets/{source}?view=overview")
    browser_page.get_by_text("non-nullable").first.wait_for()
    text = browser_page.locator("body").inner_text()
    screenshot(browser_page, f"02-overview-{source}")
    assert "\ngone\n" in text  # how many came, changed and went at the last look
    assert "non-nullable" in text
    assert "Missing" not in text


@pytest.mark.parametrize("asset", ["photo_content", "photo_metadata", "log_signals"])
def test_what_was_just_made_is_not_called_out_of_date(ui: DagsterUI, browser_page: Page, asset: str) -> None:
    ui.open(browser_page, f"/assets/{asset}?view=partitions")
    browser_page.get_by_text("Materialized").first.wait_for()
    text = browser_page.locator("body").inner_text()
    screenshot(browser_page, f"02-partitions-{asset}")
    assert "Failed (0)" in text
    assert "Missing (0)" in text or asset == "photo_metadata"
    assert "nsynced" not in text


@pytest.mark.parametrize("asset", ASSETS)
def test_an_assets_event_shows_rows_version_and_preview(
    ui: DagsterUI, browser_page: Page, asset: str
) -> None:
    ui.open(browser_page, f"/assets/{asset}?view=events")
    browser_page.get_by_text("content_version", exact=True).first.wait_for()
    text = browser_page.locator("body").inner_text()
    screenshot(browser_page, f"03-event-{asset}")
    assert "dagster/row_count" in text
    if asset == "popularity_model":
        assert "card" in text
    else:
        assert browser_page.locator(".dagster-markdown table").count() == 1
        assert "00:00:00" not in browser_page.locator(".dagster-markdown table").first.inner_text()


@pytest.mark.parametrize(
    ("asset", "name"), [(asset, name) for asset, names in PICTURES.items() for name in names]
)
def test_a_picture_is_drawn_in_the_assets_page(
    ui: DagsterUI, browser_page: Page, asset: str, name: str
) -> None:
    ui.open(browser_page, f"/assets/{asset}?view=events")
    row = browser_page.locator("tr", has=browser_page.get_by_text(name, exact=True))
    row.get_by_text("[Show Markdown]").click()
    browser_page.locator("[role=dialog] img").wait_for()
    widths = browser_page.evaluate(WIDTHS_OF_IMAGES)
    screenshot(browser_page, f"04-picture-{name}")
    assert len(widths) == 1
    assert widths[0] > 300


def test_a_days_partition_shows_what_was_made(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, f"/assets/behavior_signals?view=partitions&partition={NIGHT}")
    browser_page.get_by_text("Materialized (24)").wait_for()
    browser_page.get_by_text("content_version", exact=True).first.wait_for()
    screenshot(browser_page, "05-partition")


def test_checks_have_passed_for_every_partition(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, "/assets/behavior_signals?view=checks")
    browser_page.get_by_text("visitors_within_views").first.wait_for()
    browser_page.get_by_text("holds for 24 partitions").wait_for()
    text = browser_page.locator("body").inner_text()
    screenshot(browser_page, "06-checks")
    assert text.count("Succeeded") == sum(asset == "behavior_signals" for asset, _, _, _ in RULES)
    assert "Skipped" not in text
    # the first tab of that name is the asset's, the second the check's
    browser_page.get_by_text("Partitions", exact=True).nth(1).click()
    browser_page.get_by_text("Select a partition to view details").wait_for()
    screenshot(browser_page, "07-check-partitions")


def test_dagster_keeps_a_checks_result_for_every_day(ui: DagsterUI) -> None:
    checks = ui.graphql(CHECKS)["assetNodes"][0]["assetChecksOrError"]["checks"]
    ranges = {check["name"]: check["partitionStatuses"]["ranges"] for check in checks}
    days = {"status": "SUCCEEDED", "startKey": "2026-10-01", "endKey": NIGHT}
    assert ranges == {name: [days] for asset, name, _, _ in RULES if asset == "behavior_signals"}


def test_a_warning_says_what_is_wrong(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, "/assets/photo_features?view=checks")
    browser_page.get_by_text("photos or files lack their other half").first.wait_for()
    screenshot(browser_page, "08-check-warning")


def test_the_runs_page_shows_what_the_command_line_did(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, "/runs")
    browser_page.get_by_text("nightly_job").first.wait_for()
    text = browser_page.locator("body").inner_text()
    screenshot(browser_page, "09-runs")
    for job in ("photo_files_job", "log_files_job", "nightly_job"):
        assert job in text
    assert "Failure" not in text
    run = next(run for run in ui.runs().values() if run["jobName"] == "nightly_job")
    ui.open(browser_page, f"/runs/{run['runId']}")
    browser_page.get_by_text("popularity_predictions").first.wait_for()
    browser_page.get_by_text("Success", exact=True).first.wait_for()
    screenshot(browser_page, "10-run")


def test_automation_lists_the_schedule_and_the_sensors(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, "/automation")
    names = """nightly_schedule photo_files_sensor log_files_sensor photo_database_sensor changed_days_sensor
        failed_runs_sensor"""
    for name in names.split():
        browser_page.get_by_text(name, exact=True).wait_for()
    screenshot(browser_page, "11-automation")


def test_jobs_are_listed(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, "/jobs")
    names = "nightly_job photo_files_job log_files_job photo_database_job behavior_job ordered_backfill_job"
    for name in names.split():
        browser_page.get_by_text(name, exact=True).first.wait_for()
    screenshot(browser_page, "12-jobs")


def test_the_daemons_are_well_and_the_code_is_loaded(ui: DagsterUI, browser_page: Page) -> None:
    ui.open(browser_page, "/deployment/locations")
    browser_page.get_by_text("Loaded", exact=True).wait_for()
    screenshot(browser_page, "13-code-location")
    ui.open(browser_page, "/deployment/daemons")
    browser_page.get_by_text("Run queue").first.wait_for()
    text = browser_page.locator("body").inner_text()
    screenshot(browser_page, "14-daemons")
    assert "Error" not in text


def test_the_server_prints_its_address_and_no_noise(ui: DagsterUI) -> None:
    printed = ui.log.read_text()
    assert ui.address in printed
    for noise in ("Warning", "Error", "Traceback", "locked"):
        assert noise not in printed
