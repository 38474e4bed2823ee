"""What each task may do follows from the pipeline, and from nothing else."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.pipeline_asset import PipelineAsset
from photo_popularity.definitions import ASSETS, PIPELINE
from photo_popularity.deployment.tasks import tasks
from resources.identity import LOOKS, account_of

BY_NAME = {task.name: task for task in tasks()}


def test_each_step_is_a_task_and_makes_what_the_step_makes() -> None:
    assert [task.name for task in tasks()] == [*(step.name for step in PIPELINE.steps), LOOKS]
    for step in PIPELINE.steps:
        assert BY_NAME[step.name].makes == set(step.makes)
    made = [asset for task in tasks() for asset in task.files]
    assert len(made) == len(set(made)), "two tasks write the same asset"


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.declaration.name)
def test_a_task_reads_what_dagsters_lineage_says(asset: PipelineAsset) -> None:
    """The graph that people see in the UI, and no other."""
    definition = asset.definition(dg.DailyPartitionsDefinition("2026-01-01"))
    task = BY_NAME[definition.op.name]
    upstream = {key.to_user_string() for keys in definition.asset_deps.values() for key in keys}
    assert task.reads | (task.sources & upstream) == upstream


def test_what_is_no_input_is_named_here() -> None:
    """Rights beyond the lineage, each with its reason: this list is to be short."""
    assert {name: sorted(task.knows) for name, task in BY_NAME.items() if task.knows} == {
        # its check compares files and rows of the database
        "photo_features": ["photo_database", "photo_files"]
    }
    upstream = {step.name: set(step.reads) for step in PIPELINE.steps} | {LOOKS: BY_NAME[LOOKS].sources}
    more = {name: sorted(task.sources - upstream[name]) for name, task in BY_NAME.items()}
    # the contact sheet of the night shows the photos themselves
    assert {name: its for name, its in more.items() if its} == {"popularity_predictions": ["photo_files"]}


def test_names_of_tasks_are_names_of_accounts() -> None:
    assert account_of("photo_content") == "photo-content"
