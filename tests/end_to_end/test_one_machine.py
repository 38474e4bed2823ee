"""The units of `deploy/one_machine`: what they start does a whole night in `test_faults.py`, and undisturbed in the torture."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.services.one_machine import DEPLOYMENT, UNITS, service, variables_of_the_example


@pytest.mark.parametrize("unit", UNITS)
def test_units_run_the_installed_programs_as_a_user_of_their_own(unit: str) -> None:
    its = service(unit)
    assert its["User"] == "photo-popularity"
    assert its["WorkingDirectory"] == "/opt/photo-popularity"
    assert its["EnvironmentFile"] == "/etc/photo-popularity/environment"
    assert its["ExecStart"].startswith("/opt/photo-popularity/.venv/bin/")
    assert (its["NoNewPrivileges"], its["ProtectSystem"]) == ("true", "strict")
    assert Path(variables_of_the_example()["DAGSTER_HOME"]).is_absolute()


def test_as_many_runs_may_be_launched_at_once_as_may_be_at_work() -> None:
    """Launched one after the other, they begin as slowly as one process imports what they need."""
    instance = yaml.safe_load((DEPLOYMENT / "dagster.yaml").read_text())
    launches = instance["run_coordinator"]["config"]
    assert launches["dequeue_use_threads"]
    assert launches["dequeue_num_workers"] == instance["concurrency"]["runs"]["max_concurrent_runs"]
