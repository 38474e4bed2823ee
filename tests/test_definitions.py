"""The code location: its names, and that every asset says what it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from photo_popularity.definitions import ASSETS, PIPELINE, build_defs
from photo_popularity.domain.schemas import SCHEMAS
from resources.environment import NAMES, Environment
from resources.settings import Settings
from resources.table_storage import TableStorage

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"photo_database", "photo_files", "log_files"}
MADE = {
    "photo_metadata",
    "photo_content",
    "cat_dog_scores",
    "log_signals",
    "quarantined_lines",
    "behavior_signals",
    "photo_features",
    "training_examples",
    "popularity_model",
    "model_evaluation",
    "popularity_predictions",
}
ONE_ROW_A_PARTITION = {"popularity_model", "photo_content", "cat_dog_scores"}
KEPT_UNIQUE = {f"{asset}:keys_are_unique" for asset in MADE - ONE_ROW_A_PARTITION}
OTHER_CHECKS = {
    "behavior_signals:visitors_within_views",
    "behavior_signals:logs_cover_the_day",
    "behavior_signals:no_day_is_missing_from_the_logs",
    "popularity_model:cards_are_complete",
    "log_signals:every_line_is_accounted_for",
    "cat_dog_scores:scores_are_probabilities",
    "photo_content:files_are_readable",
    "photo_metadata:uploads_are_recent",
    "photo_features:every_photo_has_its_file",
    "popularity_predictions:every_living_photo_is_predicted",
    "model_evaluation:model_beats_its_baselines",
}


def environment(home: Path, name: str = "local", user: str = "ann") -> Environment:
    return Environment(name, user, home)


@pytest.fixture
def graph(tmp_path: Path) -> dg.AssetGraph:
    return build_defs(environment(tmp_path)).resolve_asset_graph()


@pytest.mark.parametrize("name", NAMES)
def test_every_environment_has_the_same_names(tmp_path: Path, name: str) -> None:
    definitions = build_defs(environment(tmp_path, name))
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.materializable_asset_keys} == MADE
    assert {key.to_user_string() for key in graph.external_asset_keys} == SOURCES
    checks = {f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys}
    assert checks == KEPT_UNIQUE | OTHER_CHECKS
    assert {job.name for job in repository.get_all_jobs()} - {"__ASSET_JOB"} == {
        "photo_files_job",
        "log_files_job",
        "photo_database_job",
        "behavior_job",
        "nightly_job",
        "ordered_backfill_job",
    }
    assert {sensor.name for sensor in repository.sensor_defs} == {
        "photo_files_sensor",
        "log_files_sensor",
        "photo_database_sensor",
        "changed_days_sensor",
        "failed_runs_sensor",
    }
    assert {schedule.name for schedule in repository.schedule_defs} == {"nightly_schedule"}


@pytest.mark.parametrize("name", NAMES)
def test_production_works_by_itself_and_elsewhere_somebody_starts_what_looks(
    tmp_path: Path, name: str
) -> None:
    settings = Settings(seconds_between_looks="300")
    repository = build_defs(Environment(name, "ann", tmp_path, settings)).get_repository_def()
    expected = "RUNNING" if name == "production" else "STOPPED"
    assert {schedule.default_status.value for schedule in repository.schedule_defs} == {expected}
    assert {sensor.default_status.value for sensor in repository.sensor_defs} == {expected}
    looks = {s.minimum_interval_seconds for s in repository.sensor_defs if s.name != "failed_runs_sensor"}
    assert looks == {300}


def test_every_asset_says_what_it_is_and_whose(graph: dg.AssetGraph) -> None:
    for key in graph.materializable_asset_keys:
        node, name = graph.get(key), key.to_user_string()
        assert node.owners == ["team:photo-popularity"], name
        assert node.kinds, name
        assert node.group_name in {"sources", "photos", "logs", "popularity"}, name
        assert "photo_popularity/partitions" in node.tags, name
        assert node.description is not None, name
        assert node.description.startswith(("One row is", "The model of a night", "Scan")), node.description
        assert len(str(node.code_version)) == 16, name
        assert node.partitions_def is not None, name


@pytest.mark.parametrize("asset", sorted(SCHEMAS))
def test_every_table_shows_its_columns_with_what_they_mean(graph: dg.AssetGraph, asset: str) -> None:
    shown = graph.get(dg.AssetKey(asset)).metadata["dagster/column_schema"]
    assert isinstance(shown, dg.TableColumn | dg.TableSchema | dg.TableSchemaMetadataValue)
    schema = shown.schema if isinstance(shown, dg.TableSchemaMetadataValue) else shown
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns] == list(SCHEMAS[asset].columns)
    assert all(column.description for column in schema.columns)


def test_files_and_days_are_what_the_assets_are_partitioned_by(graph: dg.AssetGraph) -> None:
    dynamic = {
        key.to_user_string(): graph.get(key).partitions_def.name
        for key in graph.materializable_asset_keys
        if isinstance(graph.get(key).partitions_def, dg.DynamicPartitionsDefinition)
    }
    assert dynamic == {
        "photo_content": "photo_files",
        "cat_dog_scores": "photo_files",
        "log_signals": "log_files",
        "quarantined_lines": "log_files",
    }


def test_each_step_stands_after_what_it_reads() -> None:
    """The planner walks the steps in this order."""
    made = set(SOURCES)
    for step in PIPELINE.steps:
        assert step.reads.keys() <= made, step.name
        made.update(step.makes)
    assert made == SOURCES | MADE


def test_dagsters_lineage_is_what_the_steps_declare(graph: dg.AssetGraph) -> None:
    for step in PIPELINE.steps:
        for asset in step.makes:
            parents = {key.to_user_string() for key in graph.get(dg.AssetKey(asset)).parent_keys}
            assert parents == set(step.reads), asset


def test_no_two_environments_share_a_root(tmp_path: Path) -> None:
    everyone = [environment(tmp_path, name, user) for name in NAMES for user in ("ann", "bob")]
    storages = {}
    for one in everyone:
        storage = (build_defs(one).resources or {})["storage"]
        assert isinstance(storage, TableStorage)
        storages[one.label] = (str(storage.files.root), one.catalog_url)
    assert set(storages) == {"local", "staging-ann", "staging-bob", "production"}
    roots = [root for root, _ in storages.values()]
    assert not [(a, b) for a in roots for b in roots if a != b and b.startswith(a + "/")]
    assert len({url for _, url in storages.values()}) == len(set(roots)) == 4


def test_the_model_is_made_one_night_a_run_and_tables_take_any_range() -> None:
    alone = {asset.declaration.name for asset in ASSETS if asset.one_partition_a_run}
    assert alone == {"popularity_model", "model_evaluation"}


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "command",
    [["dagster", "definitions", "validate", "-m", "photo_popularity.definitions"], ["dg", "check", "defs"]],
)
def test_dagsters_own_checks_pass_without_a_notice_about_our_code(tmp_path: Path, command: list[str]) -> None:
    program = Path(sys.executable).with_name(command[0])
    if not program.exists():
        pytest.skip(f"{command[0]} is not installed")
    variables = {**os.environ, "PHOTO_POPULARITY_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for notice in ("BetaWarning", "PreviewWarning", "varying BackfillPolicies", "DeprecationWarning"):
        assert notice not in done.stdout + done.stderr
