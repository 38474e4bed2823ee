"""Both scanners on very many lines, and on code that was compiled for older CPUs."""

from __future__ import annotations

import io
import itertools
import platform
from typing import Any

import pytest

from photo_popularity.domain.log_kernel import object_code
from photo_popularity.domain.log_scan import scan_by_reference
from photo_popularity.domain.log_scanner import scan_log
from tests.log_lines import scan_both
from tests.mutated_lines import ALL_RULES, RULES, disagreement, mutated_lines

BATCH = 40


@pytest.mark.parametrize("seed", range(1_000, 1_020))
def test_both_scanners_agree_on_half_a_million_lines(seed: int) -> None:
    lines, rules = mutated_lines(seed), list(ALL_RULES.values())[seed % 3]
    for _ in range(500_000 // 20 // BATCH):
        assert disagreement(list(itertools.islice(lines, BATCH)), rules) is None


@pytest.mark.parametrize("seed", range(2_000, 2_005))
def test_both_scanners_agree_on_large_files(seed: int) -> None:
    """Blocks of half a megabyte, which threads parse side by side."""
    scan_both(b"\n".join(itertools.islice(mutated_lines(seed), 100_000)), rules=RULES)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other CPUs have no such levels")
@pytest.mark.parametrize("level", object_code._LEVELS)
def test_code_for_other_cpus_has_the_same_results(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled from the same source into other instructions."""
    if level not in object_code._levels():
        pytest.skip(f"this CPU cannot run {level}")
    work = object_code._loaded(object_code.compile_apart(level))
    monkeypatch.setattr("photo_popularity.domain.log_scanner.load", lambda: work)
    given: dict[str, Any] = {"rules": RULES, "salt": f"on {level}", "salt_version": "1"}
    for seed in range(10):
        data = b"\n".join(itertools.islice(mutated_lines(seed), 5_000))
        assert scan_log(io.BytesIO(data), **given) == scan_by_reference(io.BytesIO(data), **given)
