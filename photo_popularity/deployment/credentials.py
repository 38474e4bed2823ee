"""What tasks sign in with: the password of each one's role in PostgreSQL, and a key of its user of S3.

They are made here and printed as the secrets of a namespace; neither a file nor a server's log has them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import sqlalchemy as sa

from partitions.file_sets import FileSet
from photo_popularity.deployment.admission import DAGSTER_SECRET
from photo_popularity.deployment.database_roles import quoted
from photo_popularity.deployment.manifests import SECRET_SETTINGS
from photo_popularity.deployment.objects import Manifest, kubernetes_object
from photo_popularity.deployment.s3_policies import policy
from photo_popularity.deployment.tasks import Task
from photo_popularity.domain.errors import InputError
from resources.databases import database_url
from resources.environment import PREFIX, Environment
from resources.identity import dagster_role_of, role_of, secret_of

CATALOG, KEY_ID, KEY = f"{PREFIX}CATALOG", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
POLICY = "task"


def new_credentials(
    environment: Environment,
    all_tasks: Sequence[Task],
    file_sets: Iterable[FileSet],
    *,
    but: Container[str] = (),
) -> dict[str, dict[str, str]]:
    """By the secret's name, its variables; PostgreSQL and S3 know the tasks by them from now on.

    Tasks whose secrets are among `but` keep what they have. S3 is told anew what each may do. Who asks must own the catalog,
    whose roles are there, and be allowed to make users of S3. InputError when a setting, a role or a right is missing, after
    which everybody signs in as before.
    """
    # a client of AWS is an extra, which is there where results are in S3
    import boto3
    from botocore.exceptions import ClientError

    settings, file_sets = environment.settings, list(file_sets)
    given = {f"{PREFIX}{name.upper()}": getattr(settings, name) for name in SECRET_SETTINGS}
    for task in all_tasks:
        if missing := [name for name in task.secrets if not given.get(name, "to be made")]:
            raise InputError(f"{', '.join(missing)}: not set, and the task {task.name} needs it")
    iam, found = boto3.Session().client("iam"), dict[str, dict[str, str]]()
    engine, new = owners_engine(environment), [task for task in all_tasks if secret_of(task.name) not in but]
    with ExitStack() as after_a_failure:
        try:
            with engine.begin() as connection:
                # first, so that nothing is made in S3 of what PostgreSQL refuses
                roles = [role_of(environment, task.name) for task in new if CATALOG in task.secrets]
                passwords = {role: _new_password(connection, role) for role in roles}
                if DAGSTER_SECRET not in but:
                    dagster = dagster_role_of(environment)
                    _make_database(engine, dagster)
                    found[DAGSTER_SECRET] = {"postgresql-password": _new_password(connection, dagster)}
                for task in all_tasks:
                    _allow(iam, role_of(environment, task.name), policy(task, environment, file_sets))
                for task in new:
                    role = role_of(environment, task.name)
                    url = engine.url.set(username=role, password=passwords.get(role))
                    key = new_key(iam, role)
                    after_a_failure.callback(iam.delete_access_key, UserName=role, AccessKeyId=key[KEY_ID])
                    made = given | key | {CATALOG: url.render_as_string(hide_password=False)}
                    wanted = (*task.secrets, *(name for name in task.may_have if given[name]))
                    found[secret_of(task.name)] = {name: made[name] for name in wanted}
        except (sa.exc.DBAPIError, ClientError) as error:
            reason = str(getattr(error, "orig", error)).strip()
            raise InputError(f"{reason}; all sign in as before") from error
        finally:
            engine.dispose()
        after_a_failure.pop_all()
    return found


def secret_manifests(
    environment: Environment, by_name: Mapping[str, Mapping[str, str]]
) -> Iterator[Manifest]:
    """The secrets as Kubernetes takes them."""
    for name, variables in by_name.items():
        yield kubernetes_object(environment, "Secret", name, type="Opaque", stringData=dict(variables))


def owners_engine(environment: Environment) -> sa.Engine:
    """The catalog's database as its owner has it; InputError for a SQLite file."""
    if environment.catalog_schema is None:
        raise InputError(
            f"the catalog is a SQLite file, which has no roles; set {CATALOG} to a PostgreSQL URL of its owner"
        )
    return sa.create_engine(database_url(environment.catalog_url))


def _new_password(connection: sa.Connection, role: str) -> str:
    """A new password of a role that is there; the server is not told the password itself."""
    from psycopg2.extensions import encrypt_password

    password = secrets.token_urlsafe(24)
    driver = connection.connection.driver_connection
    kept = encrypt_password(password, role, scope=driver, algorithm="scram-sha-256")
    try:
        connection.exec_driver_sql(f"ALTER ROLE {quoted(role)} LOGIN PASSWORD '{kept}'")
    except sa.exc.ProgrammingError as error:
        reason = str(error.orig).strip()
        raise InputError(
            f"{reason}; give PostgreSQL what `python -m photo_popularity.deployment roles` prints"
        ) from error
    return password


def _make_database(engine: sa.Engine, name: str) -> None:
    """A role, and a database of its own with the same name, unless they are there."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}):
            connection.exec_driver_sql(f"CREATE ROLE {quoted(name)}")
        there = connection.scalar(sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name})
        if not there:
            # who is no superuser may only make a database for a role that it is a member of
            connection.exec_driver_sql(f"GRANT {quoted(name)} TO CURRENT_USER")
            connection.exec_driver_sql(f"CREATE DATABASE {quoted(name)} OWNER {quoted(name)}")


def _allow(iam: Any, user: str, its: Mapping[str, Any]) -> None:
    """Make the user unless it is there, and tell S3 what it may do."""
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName=POLICY, PolicyDocument=json.dumps(its))


def new_key(iam: Any, user: str) -> dict[str, str]:
    """A key beside the newest one of before, which pods may still have; older ones end here."""
    keys = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    for old in sorted(keys, key=lambda its: its["CreateDate"])[:-1]:
        iam.delete_access_key(UserName=user, AccessKeyId=old["AccessKeyId"])
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {KEY_ID: key["AccessKeyId"], KEY: key["SecretAccessKey"]}
