"""Kill -9 at 200 random points, and from outside at any time: no loss, no repeat, no mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from partitions.file_sets import Grain, buckets, by_file, by_folder
from tests.killing import PHASES, Point, Scene

GRAINS: dict[str, Grain] = {"by-file": by_file, "by-folder": by_folder, "in-buckets": buckets(4)}
TRIALS, FROM_OUTSIDE = 200, 40
HIT = Counter[str]()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    root = tmp_path_factory.mktemp("killing")
    return {name: Scene.prepared(root / name, grain) for name, grain in GRAINS.items()}


@pytest.fixture(scope="module", autouse=True)
def every_phase_was_hit() -> Iterator[None]:
    HIT.clear()
    yield
    assert HIT.keys() >= set(PHASES), HIT


def scene_of(trial: int, scenes: dict[str, Scene]) -> Scene:
    return scenes[list(GRAINS)[trial % len(GRAINS)]]


@pytest.mark.parametrize("trial", range(TRIALS))
def test_who_is_killed_at_a_durable_operation_loses_and_repeats_nothing(
    scenes: dict[str, Scene], trial: int
) -> None:
    random, scene = Random(trial), scene_of(trial, scenes)
    phase = random.choice(PHASES)
    numbers = [number for number, operation in enumerate(scene.operations) if operation.phase == phase]
    point = Point(random.choice(numbers), after=random.random() < 0.5)
    killed_at = scene.trial(f"trial-{trial}", point)
    assert killed_at is not None, f"{point} was not reached"
    HIT[killed_at.phase] += 1


@pytest.mark.parametrize("trial", range(FROM_OUTSIDE))
def test_who_is_killed_at_any_time_loses_and_repeats_nothing(scenes: dict[str, Scene], trial: int) -> None:
    scene = scene_of(trial, scenes)
    scene.trial(f"outside-{trial}", Point(seconds=Random(trial).uniform(0.0, scene.seconds)))
