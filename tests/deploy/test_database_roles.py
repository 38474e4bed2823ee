"""PostgreSQL itself refuses whatever a task may not do with the catalog, row by row and task by task."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.database_roles import RIGHTS, statements, statements_for_production
from photo_popularity.deployment.tasks import Task, tasks
from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog
from resources.catalog_records import Execution, Finished, Output
from resources.environment import Environment
from resources.identity import LOOKS, role_of
from resources.outputs import read_outputs
from resources.settings import Settings
from tests.services.postgres import PostgresServer

pytestmark = pytest.mark.postgres

SOURCES = ("photo_files", "log_files", "photo_database")
EVERYTHING = sorted({*PIPELINE.by_asset, *SOURCES})
EVERY = pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
STEPS = [task for task in tasks() if task.name != LOOKS]
OLD, NEW = Output("old", run_id="before"), Output("new", run_id="now")
# what could be written of an asset besides what the catalog's own code writes
OF_WHAT_FOLLOWS = (
    "INSERT INTO {schema}.untold VALUES ('{asset}', 'y', 'now')",
    "UPDATE {schema}.untold SET run_id = 'now' WHERE asset = '{asset}'",
    "DELETE FROM {schema}.untold WHERE asset = '{asset}'",
)
OF_NOTHING = (
    "DELETE FROM {schema}.executions WHERE asset = '{asset}'",
    f"INSERT INTO {{schema}}.rights SELECT role || '_', asset, {', '.join(RIGHTS)} FROM {{schema}}.rights WHERE asset = '{{asset}}'",
    "UPDATE {schema}.rights SET makes = true WHERE asset = '{asset}'",
    "DELETE FROM {schema}.rights WHERE asset = '{asset}'",
)


def finished(asset: str, output: Output, *, run_id: str = "now") -> dict[str, dict[str, Finished]]:
    execution = Execution(asset, "x", "started", run_id, "production", "ann", datetime.now(UTC))
    return {asset: {"x": Finished(execution, output, f"made from {asset}")}}


def staging(production: Environment, user: str) -> Environment:
    """A staging environment in the same database."""
    return replace(production, name="staging", user=user)


def url_of(place: Environment, task: Task) -> str:
    """The database as a task's role signs in to it."""
    url = sa.make_url(place.catalog_url).set(username=role_of(place, task.name), password="secret")
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def owner(postgres_server: PostgresServer) -> Iterator[Environment]:
    """Production, as its database's owner sees it: one output of every asset, roles of all environments."""
    url = postgres_server.new_database()
    production = Environment("production", "ops", Path("home"), Settings(catalog=url))
    places = (production, staging(production, "ann"), staging(production, "ben"))
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        for place in places:
            catalog = read_outputs(place).catalog
            for asset in EVERYTHING:
                catalog.set_current(asset, {"x": OLD})
                its = finished(asset, OLD, run_id="before")
                catalog.begin([one.execution for one in its[asset].values()])
                catalog.commit(its)
            # twice: a deployment is told so again after every change
            for statement in (*statements(place, tasks()), *statements(place, tasks())):
                connection.exec_driver_sql(statement)
            for task in tasks():
                connection.exec_driver_sql(f"ALTER ROLE {role_of(place, task.name)} PASSWORD 'secret'")
        for place in places[1:]:
            for statement in statements_for_production(place, tasks()):
                connection.exec_driver_sql(statement)
        connection.commit()
    yield production
    with engine.connect() as connection:
        roles = [role_of(place, task.name) for place in places for task in tasks()]
        for role in roles:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
        connection.commit()
    engine.dispose()
    postgres_server.drop(url)


@pytest.fixture
def catalog_of(owner: Environment) -> Iterator[Callable[[Task], Catalog]]:
    """The catalog of production as a task's role sees it."""

    def catalog(task: Task) -> Catalog:
        return read_outputs(replace(owner, settings=Settings(catalog=url_of(owner, task)))).catalog

    yield catalog
    whole = read_outputs(owner).catalog
    for asset in EVERYTHING:
        whole.set_current(asset, {"x": OLD})


def refused(call: Callable[..., object], *arguments: object) -> bool:
    """Whether PostgreSQL says that the role may not."""
    try:
        call(*arguments)
    except sa.exc.ProgrammingError as error:
        if "row-level security" not in str(error) and "permission denied" not in str(error):
            raise
        return True
    return False


def written(by: str, place: Environment) -> dict[str, set[str]]:
    """By statement, the assets of which it changes rows of an environment when a role runs it; all is taken back."""
    engine = sa.create_engine(by)
    found: dict[str, set[str]] = {statement: set() for statement in (*OF_WHAT_FOLLOWS, *OF_NOTHING)}
    with engine.connect() as connection:

        def change(statement: str, asset: str) -> None:
            sql = statement.format(schema=place.catalog_schema, asset=asset)
            if connection.exec_driver_sql(sql).rowcount:
                found[statement].add(asset)

        for statement, asset in itertools.product(found, EVERYTHING):
            refused(change, statement, asset)
            connection.rollback()
    engine.dispose()
    return found


@EVERY
def test_a_task_sees_the_outputs_of_its_inputs_and_its_own(
    task: Task, catalog_of: Callable[[Task], Catalog]
) -> None:
    catalog = catalog_of(task)
    assert {asset for asset in EVERYTHING if catalog.current(asset)} == task.sees


@EVERY
def test_a_task_makes_current_what_it_makes_and_withdraws_what_follows(
    task: Task, catalog_of: Callable[[Task], Catalog], owner: Environment
) -> None:
    catalog, whole = catalog_of(task), read_outputs(owner).catalog
    made = {asset for asset in EVERYTHING if not refused(catalog.set_current, asset, {"x": NEW})}
    assert made == task.makes
    assert {asset for asset in EVERYTHING if whole.current(asset)["x"] == NEW} == task.makes
    withdrawn = {asset for asset in EVERYTHING if not refused(catalog.withdraw, asset, ["x"])}
    assert withdrawn == task.makes | task.withdraws
    assert {asset for asset in EVERYTHING if not whole.current(asset)} == withdrawn


@EVERY
def test_a_task_puts_on_record_what_it_executes_itself(
    task: Task, catalog_of: Callable[[Task], Catalog]
) -> None:
    catalog = catalog_of(task)
    for asset in EVERYTHING:
        its = finished(asset, NEW)
        executions = [one.execution for one in its[asset].values()]
        may = asset in task.makes
        assert (asset, refused(catalog.begin, executions)) == (asset, not may)
        assert (asset, refused(catalog.commit, its)) == (asset, not may)
        known = catalog.made_before(asset, [f"made from {asset}"])
        assert (asset, bool(known)) == (asset, asset in task.sees)


@EVERY
def test_a_task_may_say_that_its_source_is_to_be_looked_at_again_and_nothing_else_of_it(
    task: Task, catalog_of: Callable[[Task], Catalog], owner: Environment
) -> None:
    whole = read_outputs(owner).catalog
    for source in SOURCES:
        whole.set_current(source, {"x": OLD._replace(detail={"size": 1})})
        catalog_of(task).look_again(source, ["x"])
        may = source in task.doubts | task.makes
        assert (source, not whole.current(source)["x"].detail) == (source, may)


@EVERY
def test_a_task_notes_what_dagster_is_yet_to_be_told_and_changes_neither_rights_nor_history(
    task: Task, owner: Environment
) -> None:
    for statement, assets in written(url_of(owner, task), owner).items():
        may = task.makes | task.withdraws if statement in OF_WHAT_FOLLOWS else frozenset()
        assert assets == may, statement


def test_what_a_task_that_is_no_more_could_do_is_taken_from_it(owner: Environment) -> None:
    """And given back, for the tests after this one; a backup may bring the rights of a role that this server never had."""
    left = [task for task in tasks() if task.name != "photo_content"]
    engine, role = sa.create_engine(owner.catalog_url), role_of(owner, "photo_content")
    rights = f"SELECT count(*) FROM {owner.catalog_schema}.rights WHERE role = '{role}'"
    may_insert = f"SELECT has_table_privilege('{role}', '{owner.catalog_schema}.current_outputs', 'INSERT')"
    absent = f"{role_of(owner, '')}absent"
    copied = f"SELECT '{absent}', asset, {', '.join(RIGHTS)} FROM {owner.catalog_schema}.rights WHERE role = '{role}'"
    for remaining, may in ((left, False), (tasks(), True)):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO {owner.catalog_schema}.rights {copied}")
            for statement in statements(owner, remaining):
                connection.exec_driver_sql(statement)
        with engine.connect() as connection:
            assert bool(connection.exec_driver_sql(rights).scalar()) == may
            assert connection.exec_driver_sql(rights.replace(role, absent)).scalar() == 0
            assert connection.exec_driver_sql(may_insert).scalar() == may
    engine.dispose()


def test_who_looks_may_end_what_a_killed_run_began_and_nothing_else(
    catalog_of: Callable[[Task], Catalog], owner: Environment
) -> None:
    by_name = {task.name: task for task in tasks()}
    whole = read_outputs(owner).catalog
    execution = Execution("photo_content", "y", "started", "killed", "production", "ann", datetime.now(UTC))
    whole.begin([execution])
    catalog_of(by_name["log_signals"]).end_killed("killed")
    assert whole.executions(run_id="killed")[0].status == "started"
    catalog_of(by_name[LOOKS]).end_killed("killed")
    assert whole.executions(run_id="killed")[0].status == "failed"
    catalog = catalog_of(by_name[LOOKS])
    assert refused(catalog.begin, [execution])
    assert refused(catalog.commit, finished("photo_content", NEW))


@EVERY
def test_staging_reads_production_and_never_writes_there(task: Task, owner: Environment) -> None:
    ann = staging(owner, "ann")
    production = Catalog(url_of(ann, task), schema=owner.catalog_schema)
    assert {asset for asset in EVERYTHING if production.current(asset)} == task.sees
    # what production has made from the same need not be made again
    made_before = {a for a in EVERYTHING if production.made_before(a, [f"made from {a}"])}
    assert made_before == task.sees
    for asset in EVERYTHING:
        assert refused(production.set_current, asset, {"x": NEW})
        assert refused(production.withdraw, asset, ["x"])
        assert refused(production.begin, [one.execution for one in finished(asset, NEW)[asset].values()])
    assert not any(written(url_of(ann, task), owner).values())
    its = read_outputs(replace(ann, settings=Settings(catalog=url_of(ann, task)))).catalog
    assert {a for a in EVERYTHING if not refused(its.set_current, a, {"x": NEW})} == task.makes


@EVERY
@pytest.mark.parametrize(("user", "other"), [("", "ann"), ("ann", "ben"), ("ben", "ann")])
def test_neither_production_nor_a_staging_environment_sees_another_staging_environment(
    user: str, other: str, task: Task, owner: Environment
) -> None:
    place, another = staging(owner, user) if user else owner, staging(owner, other)
    url = url_of(place, task)
    assert refused(Catalog(url, schema=another.catalog_schema).current, EVERYTHING[0])
    assert not any(written(url, another).values())


def test_a_catalog_in_a_file_has_no_roles() -> None:
    with pytest.raises(InputError, match="SQLite file, which has no roles; set PHOTO_POPULARITY_CATALOG"):
        list(statements(Environment("production", "ann", Path("home")), tasks()))


def test_names_of_roles_fit_and_differ_for_users_that_differ() -> None:
    users = ("a" * 60 + "b", "a" * 60 + "c", "ann", "ann.lee", "ann-lee")
    places = [Environment("staging", user, Path("home")) for user in users]
    roles = [role_of(place, task.name) for place in places for task in STEPS]
    assert len(set(roles)) == len(roles)
    assert max(map(len, roles)) <= 63
    assert role_of(places[2], "photo_content") == "photo_popularity_staging_ann_photo_content"
