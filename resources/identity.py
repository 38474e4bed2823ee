"""Under whose name a task works: its accounts in Kubernetes, PostgreSQL, S3 and UNIX, whose names are derived from its own.

A task of an environment is one step of the pipeline, or one of the duties below. What each may do is
`photo_popularity/deployment`.
"""

from __future__ import annotations

import hashlib

from resources.environment import Environment

LOOKS, LAUNCHES, STARTS = "code_location", "run_worker", "daemon"
"""The duties beside the steps: to look at sources and say what is out of date, to launch steps, to start runs and show pages."""
# PostgreSQL cuts names after 63 bytes, and S3's roles have 64
LONGEST_NAME = 63
# Linux takes one more, and some of its tools one less
LONGEST_UNIX_NAME = 31
UNIX_PREFIX = "pp_"
DIGITS = 8


def account_of(task: str) -> str:
    """The service account of a task, in the namespace of its environment."""
    return task.replace("_", "-")


def namespace_of(environment: Environment) -> str:
    """The Kubernetes namespace of an environment; nothing of another one is in it."""
    return f"photo-popularity-{environment.label}"


def secret_of(task: str) -> str:
    """The secret with a task's own credentials, in the namespace of its environment."""
    return f"{account_of(task)}-credentials"


def role_of(environment: Environment, task: str) -> str:
    """The role of a task in PostgreSQL and for S3, where all environments share one room for names."""
    return _within(LONGEST_NAME, f"photo_popularity_{environment.label}_{task}".replace("-", "_"))


def dagster_role_of(environment: Environment) -> str:
    """The role of Dagster itself in PostgreSQL, and the database that it owns."""
    return _within(LONGEST_NAME, f"dagster_{environment.label}".replace("-", "_"))


def user_of(environment: Environment, task: str) -> str:
    """The UNIX user of a task, on a file system that all environments may share."""
    return _within(LONGEST_UNIX_NAME, f"{UNIX_PREFIX}{environment.label}_{task}")


def readers_of(environment: Environment, asset: str) -> str:
    """The UNIX group of those who read an asset."""
    return _within(LONGEST_UNIX_NAME, f"{UNIX_PREFIX}{environment.label}_{asset}-read")


def bundlers_of(environment: Environment, asset: str) -> str:
    """The UNIX group of those who keep rows of an asset together."""
    return _within(LONGEST_UNIX_NAME, f"{UNIX_PREFIX}{environment.label}_{asset}-bundle")


def loggers_of(environment: Environment) -> str:
    """The UNIX group of those who add to the logs of runs."""
    return _within(LONGEST_UNIX_NAME, f"{UNIX_PREFIX}{environment.label}-log")


def readers_of_folder(folder: str) -> str:
    """The UNIX group of those who read a folder of the site; environments with the same source share it."""
    return f"pp-source-{_digest(folder)}"


def _within(longest: int, name: str) -> str:
    if len(name) <= longest:
        return name
    # two names that differ in the part that is cut off stay two
    return f"{name[: longest - DIGITS - 1]}_{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
