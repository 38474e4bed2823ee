"""300 random scripts of edits: after each step what is there is what a build from scratch makes, at the least cost."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.end_to_end.test_edit_scripts import trial_of
from tests.text_pipeline import kept_instance

SEEDS = range(1_000, 1_300)
# building from scratch takes as long as the step: with these seeds it is done after each
EACH_STEP, IN_FILES = 10, 20


@pytest.mark.parametrize("seed", SEEDS)
def test_after_each_edit_only_what_differs_is_made_and_all_is_as_if_made_anew(
    seed: int, tmp_path: Path
) -> None:
    kept = seed % IN_FILES == 0
    opened = kept_instance(tmp_path) if kept else dg.DagsterInstance.ephemeral()
    with opened as instance, trial_of(seed, tmp_path, instance) as trial:
        trial.carry_out(compare_each_step=seed % EACH_STEP == 1)
