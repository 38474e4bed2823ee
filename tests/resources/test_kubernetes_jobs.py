"""Whether the end of a Job's pod was no fault of the work."""

from __future__ import annotations

import pytest

pytest.importorskip("dagster_k8s")

from resources.kubernetes_jobs import Job, was_disrupted
from resources.pod_reasons import Manifest

MADE = {"reason": "SuccessfulCreate", "message": "Created pod: step-x"}
REFUSED = {"reason": "FailedCreate", "message": 'pods "step-" is forbidden'}
DELETED = {"metadata": {"name": "step-x", "deletionTimestamp": "2026-11-22T15:18:38Z"}}
FAILED = {"metadata": {"name": "step-x"}, "status": {"phase": "Failed"}}
OUT_OF_MEMORY = {"name": "dagster", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}


@pytest.mark.parametrize(
    ("pods", "events", "expected"),
    [
        ([DELETED], [MADE], True),
        # nobody is left to ask what became of it
        ([], [MADE], True),
        ([], [REFUSED], False),
        ([FAILED], [MADE], False),
        ([{**DELETED, "status": {"containerStatuses": [OUT_OF_MEMORY]}}], [MADE], False),
    ],
)
def test_a_pod_that_somebody_took_away_was_disrupted(
    pods: list[Manifest], events: list[Manifest], expected: bool
) -> None:
    assert was_disrupted(Job("step", {}, pods, events, [])) == expected
