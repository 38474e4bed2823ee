"""Dagster's own instance of an environment: its folder, its `dagster.yaml`, and opening it in this process."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from photo_popularity.domain.errors import InputError
from resources.environment import Environment

INSTANCE_CONFIG = Path(__file__).with_name("dagster.yaml")


def prepare_home(environment: Environment) -> Path:
    """The folder of Dagster's instance, with the `dagster.yaml` of this version in it; `DAGSTER_HOME` wins when set."""
    if "DAGSTER_HOME" in os.environ:
        given = Path(os.environ["DAGSTER_HOME"])
        if not given.is_absolute() or not given.is_dir():
            raise InputError(f"DAGSTER_HOME={given}: not the full path of a folder; correct it, or unset it")
        return given
    home = environment.dagster_home
    make_folder(home)
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


def make_folder(folder: Path) -> None:
    """Make a folder of ours unless it is there; InputError when that cannot be, or when it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made ({error.strerror}); set PHOTO_POPULARITY_HOME to a folder of yours"
        ) from error
    if not os.access(folder, os.W_OK):
        raise InputError(
            f"{folder}: this user may not write there; set PHOTO_POPULARITY_HOME to a folder of yours"
        )
