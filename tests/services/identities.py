"""The tasks of an environment as their servers know them: a role in PostgreSQL and a user of S3 for each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.database_roles import statements
from photo_popularity.deployment.s3_policies import policy
from photo_popularity.deployment.tasks import tasks
from resources.environment import Environment
from resources.identity import role_of, secret_of
from resources.outputs import read_outputs
from tests.services.s3 import S3Server


def credentials_of_tasks(
    environment: Environment, s3: S3Server, everybodys: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """The variables with secrets of each task; the catalog and S3 know it by them from now on.

    Those that more than one task has are taken from `everybodys`.
    """
    read_outputs(environment).catalog.untold()  # the first who asks makes the tables
    engine, found = sa.create_engine(environment.catalog_url), dict[str, dict[str, str]]()
    with engine.begin() as connection:
        for statement in statements(environment, tasks()):
            connection.exec_driver_sql(statement)
        for task in tasks():
            role, password = role_of(environment, task.name), secrets.token_hex(8)
            connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD '{password}'")
            url = sa.make_url(environment.catalog_url).set(username=role, password=password)
            user = s3.user(role, policy(task, environment, PIPELINE.file_sets.values()))
            its = {
                "PHOTO_POPULARITY_CATALOG": url.render_as_string(hide_password=False),
                "AWS_ACCESS_KEY_ID": user.access_key,
                "AWS_SECRET_ACCESS_KEY": user.secret_key,
            }
            found[task.name] = {name: its.get(name) or everybodys[name] for name in task.secrets}
    engine.dispose()
    return found


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
            connection.exec_driver_sql(f"DROP OWNED BY {role_of(environment, task.name)}")
            connection.exec_driver_sql(f"DROP ROLE {role_of(environment, task.name)}")
    engine.dispose()
