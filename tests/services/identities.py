"""The tasks of an environment as their servers know them: a role in PostgreSQL and a user of S3 for each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import sqlalchemy as sa

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.admission import DAGSTER_SECRET
from photo_popularity.deployment.credentials import new_credentials
from photo_popularity.deployment.database_roles import statements, statements_for_production
from photo_popularity.deployment.tasks import duties, tasks
from resources.environment import Environment
from resources.identity import role_of, secret_of
from resources.outputs import read_outputs
from tests.services.s3 import S3Server


def credentials_of_tasks(environment: Environment, s3: S3Server) -> dict[str, dict[str, str]]:
    """The variables with secrets of each task; the catalog and S3 know it by them from now on, production's too."""
    read_outputs(environment).catalog.untold()  # the first who asks makes the tables
    engine = sa.create_engine(environment.catalog_url)
    of_production = statements_for_production(environment, tasks()) if environment.production else ()
    with engine.begin() as connection:
        for statement in (*statements(environment, tasks()), *of_production):
            connection.exec_driver_sql(statement)
    engine.dispose()
    everybody = [*tasks(), *duties()]
    with patch.dict(os.environ, s3.environment):
        found = new_credentials(environment, everybody, PIPELINE.file_sets.values(), but={DAGSTER_SECRET})
    return {task.name: found[secret_of(task.name)] for task in everybody}


def write_credentials(folder: Path, by_task: Mapping[str, Mapping[str, str]]) -> Path:
    """The folder that the setting `credentials` names: for each task a folder with a file a variable."""
    for task, variables in by_task.items():
        its = folder / secret_of(task)
        its.mkdir(parents=True)
        for name, value in variables.items():
            (its / name).write_text(value)
    return folder


def drop_roles(environment: Environment) -> None:
    """Take the roles away again, before the catalog's database is dropped."""
    engine = sa.create_engine(environment.catalog_url)
    with engine.begin() as connection:
        for task in tasks():
            role = role_of(environment, task.name)
            connection.exec_driver_sql(f"GRANT {role} TO CURRENT_USER")
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
    engine.dispose()
