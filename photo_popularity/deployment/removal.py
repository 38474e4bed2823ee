"""What goes with a staging environment: its results, its catalog, its database of Dagster, and the accounts of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from photo_popularity.deployment.credentials import owners_engine
from photo_popularity.deployment.database_roles import quoted
from photo_popularity.deployment.tasks import Task
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import dagster_role_of, role_of
from resources.storage import open_folder


def remove(environment: Environment, all_tasks: Sequence[Task]) -> Iterator[str]:
    """Remove all that the environment has in PostgreSQL and S3, and tell what that was; what is gone already is passed over.

    InputError for any other than a staging environment.
    """
    if environment.name != "staging":
        raise InputError(f"{environment.label} is no staging environment: nothing is removed")
    roles = [role_of(environment, task.name) for task in all_tasks]
    yield from _remove_from_postgres(environment, roles)
    yield from _remove_users(roles)
    results = open_folder(environment.storage_root, s3_endpoint=environment.settings.s3_endpoint)
    if results.exists():
        results.fs.rm(results.path, recursive=True)
        yield f"removed {environment.storage_root}"


def _remove_from_postgres(environment: Environment, roles: Sequence[str]) -> Iterator[str]:
    engine, dagster = owners_engine(environment), dagster_role_of(environment)
    schema = environment.catalog_schema or ""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # runs that are still at work would hold it
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quoted(dagster)} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
        yield f"removed the database {dagster} and the schema {schema}"
        query = sa.text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles) ORDER BY rolname")
        for role in connection.scalars(query, {"roles": [*roles, dagster]}).all():
            # what it may read of production goes with it
            connection.exec_driver_sql(f"DROP OWNED BY {quoted(role)}")
            connection.exec_driver_sql(f"DROP ROLE {quoted(role)}")
            yield f"removed the role {role}"
    engine.dispose()


def _remove_users(users: Sequence[str]) -> Iterator[str]:
    # a client of AWS is an extra, which is there where results are in S3
    import boto3

    iam = boto3.Session().client("iam")
    for user in users:
        try:
            _remove_user(iam, user)
        except iam.exceptions.NoSuchEntityException:
            continue
        yield f"removed the user {user}"


def _remove_user(iam: Any, user: str) -> None:
    """Remove the user with all that keeps it from being removed."""
    for key in iam.list_access_keys(UserName=user)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    for name in iam.list_user_policies(UserName=user)["PolicyNames"]:
        iam.delete_user_policy(UserName=user, PolicyName=name)
    iam.delete_user(UserName=user)
