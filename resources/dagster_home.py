"""Dagster's own instance of an environment: its folder, its `dagster.yaml`, and opening it in this process."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from resources.environment import Environment

INSTANCE_CONFIG = Path(__file__).resolve().parents[1] / "deploy" / "local" / "dagster.yaml"


def prepare_home(environment: Environment) -> Path:
    """The folder of Dagster's instance, with the `dagster.yaml` of this version in it; `DAGSTER_HOME` wins when set."""
    if "DAGSTER_HOME" in os.environ:
        return Path(os.environ["DAGSTER_HOME"])
    home = environment.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    wanted, present = INSTANCE_CONFIG.read_bytes(), home / "dagster.yaml"
    if not present.exists() or present.read_bytes() != wanted:
        aside = home / f".dagster.yaml.{os.getpid()}"
        aside.write_bytes(wanted)
        aside.replace(present)
    return home


def open_instance(environment: Environment) -> dg.DagsterInstance:
    """The instance that `photo-popularity dev` shows; close it, or use it as a context manager."""
    home = prepare_home(environment)
    # dagster.yaml and the run log's handler read these two
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["PHOTO_POPULARITY_HOME"] = str(environment.home)
    return dg.DagsterInstance.get()
