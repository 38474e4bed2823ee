"""The units of `deploy/one_machine`: what they start does a whole night in `test_faults.py`, and undisturbed in the torture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.one_machine import UNITS, service, variables_of_the_example


@pytest.mark.parametrize("unit", UNITS)
def test_units_run_the_installed_programs_as_a_user_of_their_own(unit: str) -> None:
    its = service(unit)
    assert its["User"] == "photo-popularity"
    assert its["WorkingDirectory"] == "/opt/photo-popularity"
    assert its["EnvironmentFile"] == "/etc/photo-popularity/environment"
    assert its["ExecStart"].startswith("/opt/photo-popularity/.venv/bin/")
    assert (its["NoNewPrivileges"], its["ProtectSystem"]) == ("true", "strict")
    assert Path(variables_of_the_example()["DAGSTER_HOME"]).is_absolute()
