"""Kill -9 at some points of detection, processing, promotion, commit and event writing: no loss, no repeat, no mix."""

from __future__ import annotations

from random import Random

import pytest

from partitions.file_sets import by_file
from tests.killing import PHASES, Point, Scene

pytestmark = pytest.mark.end_to_end

FROM_OUTSIDE = 2


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.prepared(tmp_path_factory.mktemp("killing"), by_file)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("phase", PHASES)
def test_who_is_killed_at_a_durable_operation_loses_and_repeats_nothing(
    scene: Scene, phase: str, after: bool
) -> None:
    numbers = [number for number, operation in enumerate(scene.operations) if operation.phase == phase]
    number = Random(f"{phase} {after}").choice(numbers)
    killed_at = scene.trial(f"{phase}-{after}", Point(number, after=after))
    assert killed_at == scene.operations[number]


@pytest.mark.parametrize("trial", range(FROM_OUTSIDE))
def test_who_is_killed_at_any_time_loses_and_repeats_nothing(scene: Scene, trial: int) -> None:
    seconds = Random(trial).uniform(0.0, scene.seconds)
    scene.trial(f"outside-{trial}", Point(seconds=seconds))
