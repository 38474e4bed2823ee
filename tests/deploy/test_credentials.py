"""What tasks sign in with is made, made anew and taken away again: by PostgreSQL and S3 themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import kubernetes_validate
import pytest
import sqlalchemy as sa
import yaml
from botocore.exceptions import ClientError
from s3fs import S3FileSystem

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.__main__ import roles_of
from photo_popularity.deployment.admission import DAGSTER_SECRET
from photo_popularity.deployment.credentials import KEY, KEY_ID, new_credentials, new_key
from photo_popularity.deployment.database_roles import statements, statements_for_production
from photo_popularity.deployment.removal import remove
from photo_popularity.deployment.tasks import duties, tasks
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import LOOKS, dagster_role_of, role_of, secret_of
from resources.outputs import read_outputs
from resources.settings import Settings
from tests.services.identities import drop_roles
from tests.services.one_machine import CHECKOUT
from tests.services.postgres import PostgresServer, installer, owned_database, seen_by
from tests.services.s3 import S3Server, enforcing_server

pytestmark = [pytest.mark.postgres, pytest.mark.s3]

EVERYBODY = [*tasks(), *duties()]
STEP, OTHER = secret_of("photo_features"), secret_of("photo_content")
RUNBOOK = CHECKOUT / "docs" / "runbook.md"
Found = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that asks everybody for rights, as its owner has it."""
    with (
        enforcing_server(tmp_path_factory.mktemp("s3") / "server.log") as (owner, enforce),
        patch.dict(os.environ, owner.environment),
    ):
        owner.client().create_bucket(Bucket="data")
        enforce()
        # what this process has opened on another server of the same variables
        S3FileSystem.clear_instance_cache()
        yield owner
        S3FileSystem.clear_instance_cache()


def settings(catalog: str) -> Settings:
    return Settings(
        storage="s3://data/results",
        photos="s3://site/photos",
        logs="s3://site/logs",
        database="postgresql://site",
        catalog=catalog,
    )


def with_roles(environment: Environment) -> Environment:
    """The environment, whose catalog has tables and roles now."""
    read_outputs(environment).catalog.untold()
    with sa.create_engine(environment.catalog_url).begin() as connection:
        for statement in statements(environment, tasks()):
            connection.exec_driver_sql(statement)
    return environment


@pytest.fixture
def staging(s3: S3Server, postgres_server: PostgresServer) -> Iterator[Environment]:
    """As the catalog's owner has it, who is no superuser."""
    with owned_database(postgres_server) as url:
        made = with_roles(Environment("staging", "ann", Path("home"), settings(url)))
        yield made
        list(remove(made, EVERYBODY))


@pytest.fixture
def production(staging: Environment) -> Iterator[Environment]:
    """The production beside it, whose tasks have roles."""
    made = with_roles(replace(staging, name="production"))
    yield made
    drop_roles(made)


def let_read_production(staging: Environment, owner: Environment) -> None:
    with sa.create_engine(owner.catalog_url).begin() as connection:
        for statement in statements_for_production(staging, tasks()):
            connection.exec_driver_sql(statement)


def read_by(environment: Environment, sql: str) -> set[str]:
    """The only column of a query that the catalog's owner makes."""
    with sa.create_engine(environment.catalog_url, poolclass=sa.pool.NullPool).connect() as connection:
        return set(connection.scalars(sa.text(sql)))


def new(environment: Environment, *but: str) -> Found:
    return new_credentials(environment, EVERYBODY, PIPELINE.file_sets.values(), but=but)


def who_signs_in(variables: Mapping[str, str]) -> str:
    """The role that PostgreSQL takes the task for, or its refusal."""
    engine = sa.create_engine(variables["PHOTO_POPULARITY_CATALOG"], poolclass=sa.pool.NullPool)
    try:
        with engine.connect() as connection:
            return str(connection.scalar(sa.text("SELECT current_user")))
    except sa.exc.OperationalError as error:
        return str(error.orig)


def may_write(s3: S3Server, variables: Mapping[str, str], asset: str) -> bool:
    """Whether S3 takes an object of the asset from the task."""
    client = replace(s3, access_key=variables[KEY_ID], secret_key=variables[KEY]).client()
    try:
        client.put_object(Bucket="data", Key=f"results/staging-ann/{asset}/x.parquet", Body=b"rows")
    except client.exceptions.ClientError:
        return False
    return True


def dagsters_engine(environment: Environment, found: Found) -> sa.Engine:
    """Dagster's own database as Dagster has it."""
    name, password = dagster_role_of(environment), found[DAGSTER_SECRET]["postgresql-password"]
    url = sa.make_url(environment.catalog_url).set(username=name, password=password, database=name)
    return sa.create_engine(url, poolclass=sa.pool.NullPool)


def test_each_task_signs_in_as_itself(staging: Environment, s3: S3Server) -> None:
    found = new(staging)
    assert found.keys() == {*(secret_of(task.name) for task in EVERYBODY), DAGSTER_SECRET}
    for task in EVERYBODY:
        assert set(found[secret_of(task.name)]) == set(task.secrets)
    for task in tasks():
        assert who_signs_in(found[secret_of(task.name)]) == role_of(staging, task.name)
    assert may_write(s3, found[STEP], "photo_features")
    assert not may_write(s3, found[STEP], "photo_content")
    with dagsters_engine(staging, found).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE runs (run_id text)")


def test_dagsters_database_is_made_anew_as_the_runbook_says(staging: Environment) -> None:
    [drop] = re.findall(r"`(DROP DATABASE dagster_production .*?)`", RUNBOOK.read_text())
    before = dagsters_engine(staging, new(staging))
    at_work = before.connect()
    at_work.exec_driver_sql("CREATE TABLE runs (run_id text)")
    at_work.commit()
    owner = sa.create_engine(staging.catalog_url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.exec_driver_sql(drop.replace("dagster_production", dagster_role_of(staging)))
    owner.dispose()
    found = new(staging, *(secret_of(task.name) for task in EVERYBODY))
    assert found.keys() == {DAGSTER_SECRET}
    with dagsters_engine(staging, found).connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        before.connect()
    at_work.invalidate()


def test_what_is_kept_stays_and_what_is_made_anew_ends_what_was(staging: Environment, s3: S3Server) -> None:
    before, after = new(staging), new(staging, OTHER, DAGSTER_SECRET)
    assert OTHER not in after
    assert who_signs_in(before[OTHER]) == role_of(staging, "photo_content")
    assert "password authentication failed" in who_signs_in(before[STEP])
    assert who_signs_in(after[STEP]) == role_of(staging, "photo_features")
    # pods that are at work have the key of before
    assert may_write(s3, before[STEP], "photo_features")
    last = new(staging)
    assert [may_write(s3, its[STEP], "photo_features") for its in (before, after, last)] == [
        False,
        True,
        True,
    ]


def test_what_is_missing_is_named_before_anything_is_made(staging: Environment, s3: S3Server) -> None:
    without = replace(staging, settings=replace(staging.settings, database=""))
    with pytest.raises(InputError, match="PHOTO_POPULARITY_DATABASE: not set, and the task photo_metadata"):
        new(without)
    assert [its["UserName"] for its in s3.client("iam").list_users()["Users"]] == ["root"]
    with pytest.raises(InputError, match=r"photo_metadata.* does not exist; give PostgreSQL what"):
        new(replace(staging, user="ben"))


def test_the_command_prints_secrets_that_kubernetes_takes(staging: Environment) -> None:
    given = {
        name: getattr(staging.settings, name) for name in ("storage", "photos", "logs", "database", "catalog")
    }
    variables = {f"PHOTO_POPULARITY_{name.upper()}": value for name, value in given.items()}
    variables |= {"PHOTO_POPULARITY_ENV": "staging", "PHOTO_POPULARITY_USER": "ann"}
    command = [sys.executable, "-m", "photo_popularity.deployment", "credentials", "--but", f"secret/{OTHER}"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
    found = list(yaml.safe_load_all(done.stdout))
    for secret in found:
        kubernetes_validate.validate(secret, "1.37", strict=True)
        assert secret["metadata"]["namespace"] == "photo-popularity-staging-ann"
    names = {secret["metadata"]["name"] for secret in found}
    assert names == {*(secret_of(task.name) for task in EVERYBODY), DAGSTER_SECRET} - {OTHER}


def test_an_environment_is_removed_with_all_that_it_has_and_no_other(
    staging: Environment, production: Environment, s3: S3Server
) -> None:
    bens = with_roles(replace(staging, user="ann-ben"))
    for one in (staging, bens):
        let_read_production(one, production)
    (its, other), theirs = (new(staging)[name] for name in (STEP, DAGSTER_SECRET)), new(bens)
    assert may_write(s3, its, "photo_features")
    assert other
    said = list(remove(staging, EVERYBODY))
    assert f"removed the role {role_of(staging, 'photo_features')}" in said
    assert f"removed the user {role_of(staging, 'photo_features')}" in said
    assert "removed s3://data/results/staging-ann" in said
    assert s3.client().list_objects_v2(Bucket="data")["KeyCount"] == 0
    left = read_by(staging, "SELECT rolname FROM pg_roles WHERE rolname LIKE '%staging%'")
    schemas = read_by(staging, "SELECT nspname FROM pg_namespace")
    databases = read_by(staging, "SELECT datname FROM pg_database")
    readers = read_by(production, f"SELECT role FROM {production.catalog_schema}.rights")
    assert readers == {role_of(one, task.name) for one in (production, bens) for task in tasks()}
    assert left == {*(role_of(bens, task.name) for task in tasks()), dagster_role_of(bens)}
    assert bens.catalog_schema in schemas
    assert staging.catalog_schema not in schemas
    assert dagster_role_of(bens) in databases
    assert dagster_role_of(staging) not in databases
    users = {user["UserName"] for user in s3.client("iam").list_users()["Users"]}
    assert users == {"root", *(role_of(bens, task.name) for task in EVERYBODY)}
    assert who_signs_in(theirs[STEP]) == role_of(bens, "photo_features")
    for _ in range(2):
        list(remove(bens, EVERYBODY))
    assert read_by(staging, "SELECT rolname FROM pg_roles WHERE rolname LIKE '%staging%'") == set()


def test_branches_may_be_deployed_at_the_same_time(staging: Environment, production: Environment) -> None:
    branches = [with_roles(replace(staging, user=user)) for user in ("b1", "b2", "b3")]
    try:
        with ThreadPoolExecutor() as deployments:
            # PostgreSQL refuses one of two who grant at once on a table
            list(deployments.map(lambda its: let_read_production(its, production), branches * 3))
    finally:
        for its in branches:
            list(remove(its, EVERYBODY))


def test_a_task_that_only_the_branch_had_goes_with_it(staging: Environment, s3: S3Server) -> None:
    its = new(staging)
    today = [task for task in EVERYBODY if secret_of(task.name) != STEP]
    list(remove(staging, today))
    assert "password authentication failed" in who_signs_in(its[STEP])
    assert not may_write(s3, its[STEP], "photo_features")


def test_who_hears_of_failures_is_told_where_and_nobody_else(staging: Environment) -> None:
    told = replace(staging, settings=replace(staging.settings, failure_webhook="https://hooks.example"))
    has_it = {name for name, its in new(told).items() if "PHOTO_POPULARITY_FAILURE_WEBHOOK" in its}
    assert has_it == {secret_of(LOOKS)}


def test_who_may_make_no_database_is_told_and_all_sign_in_as_before(
    staging: Environment, s3: S3Server, postgres_server: PostgresServer
) -> None:
    before, owner = new(staging, DAGSTER_SECRET), sa.make_url(staging.catalog_url).username
    postgres_server.administer(f"ALTER ROLE {owner} NOCREATEDB")
    try:
        with pytest.raises(InputError, match="permission denied to create database; all sign in as before"):
            new(staging)
    finally:
        postgres_server.administer(f"ALTER ROLE {owner} CREATEDB")
    assert who_signs_in(before[STEP]) == role_of(staging, "photo_features")


def test_where_s3_fails_midway_all_sign_in_as_before(staging: Environment, s3: S3Server) -> None:
    before = new(staging)
    last = role_of(staging, EVERYBODY[-1].name)

    def refused_for_the_last(iam: Any, user: str) -> dict[str, str]:
        if user == last:
            raise ClientError({"Error": {"Code": "LimitExceeded", "Message": "too many"}}, "CreateAccessKey")
        return new_key(iam, user)

    # a second time would take what the first one had made for the key that pods have
    for _ in range(2):
        with (
            patch("photo_popularity.deployment.credentials.new_key", refused_for_the_last),
            pytest.raises(InputError, match=r"LimitExceeded.*too many; all sign in as before"),
        ):
            new(staging)
        assert who_signs_in(before[STEP]) == role_of(staging, "photo_features")
        assert may_write(s3, before[STEP], "photo_features")


def test_keys_of_s3_end_even_where_postgresql_cannot_be_reached(staging: Environment, s3: S3Server) -> None:
    its = new(staging)[STEP]
    unreachable = (
        sa.make_url(staging.catalog_url).set(password="another").render_as_string(hide_password=False)
    )
    with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
        list(remove(replace(staging, settings=settings(unreachable)), EVERYBODY))
    assert not may_write(s3, its, "photo_features")


def test_who_owns_staging_alone_leaves_to_the_owner_of_production_what_that_one_granted(
    staging: Environment, production: Environment, postgres_server: PostgresServer
) -> None:
    with installer(postgres_server) as somebody:
        url = seen_by(somebody, staging.catalog_url)
        owner, database = sa.create_engine(staging.catalog_url), sa.make_url(url).database
        with owner.begin() as connection:
            connection.exec_driver_sql(f"GRANT CREATE ON DATABASE {database} TO {somebody}")
        bens = Environment("staging", "ben", Path("home"), settings(url))
        read_outputs(bens).catalog.untold()
        psql = [str(postgres_server.binaries / "psql"), "--quiet", url.replace("+psycopg2", "")]
        done = subprocess.run(psql, input="".join(roles_of(bens)), capture_output=True, text=True, check=True)
        assert done.stderr.startswith("staging-ben may not read production")
        let_read_production(bens, production)
        found = new(bens)
        assert who_signs_in(found[STEP]) == role_of(bens, "photo_features")
        with pytest.raises(
            InputError, match=f"{len(tasks())} roles stay, .* nobody can sign in as"
        ) as refused:
            list(remove(bens, EVERYBODY))
        assert "not permitted to log in" in who_signs_in(found[STEP])
        assert (
            read_by(staging, f"SELECT nspname FROM pg_namespace WHERE nspname = '{bens.catalog_schema}'")
            == set()
        )
        with owner.begin() as connection:
            connection.exec_driver_sql(str(refused.value).split("\n", 1)[1])
        owner.dispose()
        list(remove(bens, EVERYBODY))
        assert read_by(staging, "SELECT rolname FROM pg_roles WHERE rolname LIKE '%staging_ben%'") == set()
        readers = read_by(production, f"SELECT role FROM {production.catalog_schema}.rights")
        assert readers == {role_of(production, task.name) for task in tasks()}
        with owner.begin() as connection:
            connection.exec_driver_sql(f"REVOKE CREATE ON DATABASE {database} FROM {somebody}")
        owner.dispose()


def test_only_a_staging_environment_is_ever_removed(staging: Environment) -> None:
    for name in ("production", "local"):
        with pytest.raises(InputError, match="no staging environment: nothing is removed"):
            list(remove(replace(staging, name=name), EVERYBODY))
