"""What goes with a staging environment: its results, its catalog, its database of Dagster, and the accounts of its tasks."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from photo_popularity.deployment.credentials import owners_engine
from photo_popularity.deployment.database_roles import (
    owns_rights,
    quoted,
    statements_without_production,
    without_rights,
)
from photo_popularity.deployment.tasks import Task
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import dagster_role_of, role_of
from resources.storage import open_folder

STILL_NEEDED = "2BP01"
"""What PostgreSQL calls the refusal to drop a role that something depends on."""


def remove(environment: Environment, all_tasks: Sequence[Task]) -> Iterator[str]:
    """Remove all that the environment has in PostgreSQL and S3, and tell what that was; what is gone already is passed over.

    InputError for any other than a staging environment, and in the end for roles that stay: who is not the owner of production's
    catalog cannot take from them what that one has granted.
    """
    if environment.name != "staging":
        raise InputError(f"{environment.label} is no staging environment: nothing is removed")
    roles = [role_of(environment, task.name) for task in all_tasks]
    # first, as their keys read production, and PostgreSQL may be away
    yield from _remove_users(roles)
    others = _other_roles(environment, roles)
    yield from _remove_users(others)
    roles += others
    left = yield from _remove_from_postgres(environment, roles)
    results = open_folder(environment.storage_root, s3_endpoint=environment.settings.s3_endpoint)
    if results.exists():
        results.fs.rm(results.path, recursive=True)
        yield f"removed {environment.storage_root}"
    if left and environment.production:
        sql = "".join(f"{one};\n" for one in statements_without_production(environment.production, left))
        raise InputError(
            f"{len(left)} roles stay, which nobody can sign in as: others have granted them something; once the owner of "
            f"production's catalog has run this, remove them by the same command again\n{sql}"
        )


def _other_roles(environment: Environment, roles: Sequence[str]) -> Sequence[str]:
    """More roles that the environment's own table of rights names: those of tasks that this pipeline does not have."""
    engine, schema = owners_engine(environment), environment.catalog_schema
    with engine.connect() as connection:
        found = set[str]()
        if sa.inspect(connection).has_table("rights", schema=schema):
            found |= set(connection.scalars(sa.text(f"SELECT role FROM {quoted(schema or '')}.rights")))
    engine.dispose()
    return sorted(found - set(roles))


def _remove_from_postgres(
    environment: Environment, roles: Sequence[str]
) -> Generator[str, None, Sequence[str]]:
    """Gives the roles that cannot be removed."""
    engine, dagster, left = owners_engine(environment), dagster_role_of(environment), []
    schema, production = environment.catalog_schema or "", environment.production
    query = sa.text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles) ORDER BY rolname")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        there = connection.scalars(query, {"roles": [*roles, dagster]}).all()
        for role in there:
            # who is no superuser may only drop what belongs to a role that it is a member of
            connection.exec_driver_sql(f"GRANT {quoted(role)} TO CURRENT_USER")
        # runs that are still at work would hold it
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quoted(dagster)} WITH (FORCE)")
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
        yield f"removed the database {dagster} and the schema {schema}"
        if production and connection.exec_driver_sql(f"SELECT {owns_rights(production)}").scalar():
            connection.exec_driver_sql(without_rights(production, roles))
        for role in there:
            # what the owner of production's catalog has granted goes with it, when it is that one who asks
            connection.exec_driver_sql(f"DROP OWNED BY {quoted(role)}")
            try:
                connection.exec_driver_sql(f"DROP ROLE {quoted(role)}")
            except sa.exc.InternalError as error:
                if getattr(error.orig, "pgcode", None) != STILL_NEEDED:
                    raise
                connection.exec_driver_sql(f"ALTER ROLE {quoted(role)} NOLOGIN")
                left.append(role)
            else:
                yield f"removed the role {role}"
    engine.dispose()
    return left


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
