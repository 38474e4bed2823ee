"""Under whose name a task works: the names of its accounts in Kubernetes, PostgreSQL and S3, all derived from its own.

A task of an environment is one step of the pipeline, or one of the duties below. What each may do is
`photo_popularity/deployment`.
"""

from __future__ import annotations

import hashlib

from resources.environment import Environment

LOOKS, LAUNCHES, STARTS, SHOWS = "code_location", "run_worker", "daemon", "webserver"
"""The duties beside the steps: to look at sources and say what is out of date, to launch steps, to start runs, to show pages."""
# PostgreSQL cuts names after 63 bytes, and S3's roles have 64
LONGEST_NAME = 63
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
    name = f"photo_popularity_{environment.label}_{task}".replace("-", "_")
    if len(name) <= LONGEST_NAME:
        return name
    # two users whose names differ in the part that is cut off have two roles
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
    return f"{name[: LONGEST_NAME - DIGITS - 1]}_{digest}"
