"""What each task may do with the catalog, as SQL for PostgreSQL: a role a task, and a table that says what each may do.

The policies of the catalog's tables ask that table, `rights`, for the role at work. The statements are to be run by the
schema's owner, again after every change of the pipeline. Passwords are set by whoever keeps the secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy.dialects.postgresql import dialect

from photo_popularity.deployment.tasks import Task
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import role_of

RIGHTS = ("sees", "makes", "withdraws", "doubts", "ends")
_MAKES, _FOLLOWS = "{makes}", "{makes} OR {withdraws}"
# By table and command: the rows that are there for a role, and those that it may write. Rows of executions stay.
_POLICIES: dict[str, dict[str, tuple[str, str]]] = {
    "current_outputs": {
        "SELECT": ("{sees}", ""),
        "INSERT": ("", "{makes} OR (withdrawn AND {withdraws})"),
        "UPDATE": (
            "{makes} OR {withdraws} OR {doubts}",
            # what is doubted is looked at again, as nothing is known of it
            "{makes} OR (withdrawn AND {withdraws}) OR (detail = '{{}}' AND {doubts})",
        ),
    },
    "memo": {
        "SELECT": ("{sees}", ""),
        "INSERT": ("", _MAKES),
        "UPDATE": (_MAKES, _MAKES),
        "DELETE": (_MAKES, ""),
    },
    "executions": {
        "SELECT": ("{makes} OR {ends}", ""),
        "INSERT": ("", _MAKES),
        # of what a killed run had begun, somebody else says that it will never end
        "UPDATE": ("{makes} OR (status = 'started' AND {ends})", "{makes} OR (status = 'failed' AND {ends})"),
    },
    "untold": {
        "SELECT": (_FOLLOWS, ""),
        "INSERT": ("", _FOLLOWS),
        "UPDATE": (_FOLLOWS, _FOLLOWS),
        "DELETE": (_FOLLOWS, ""),
    },
}
# two who grant at once on the same table would disturb each other
ONE_AFTER_THE_OTHER = "DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('photo_popularity roles')); END $$"
# `rights` and `catalog_versions` are for all to read
_READS = {"current_outputs": {"SELECT"}, "memo": {"SELECT"}}


def statements(environment: Environment, all_tasks: Sequence[Task]) -> Iterator[str]:
    """The SQL for an environment's own catalog, whose tables are there."""
    schema = _schema(environment)
    yield ONE_AFTER_THE_OTHER
    yield (
        f"CREATE TABLE IF NOT EXISTS {schema}.rights (role text, asset text, "
        f"{', '.join(f'{right} boolean NOT NULL' for right in RIGHTS)}, PRIMARY KEY (role, asset))"
    )
    for table, policies in _POLICIES.items():
        yield f"ALTER TABLE {schema}.{table} ENABLE ROW LEVEL SECURITY"
        for command, (visible, valid) in policies.items():
            yield f"DROP POLICY IF EXISTS by_{command} ON {schema}.{table}"
            yield (
                f"CREATE POLICY by_{command} ON {schema}.{table} FOR {command}"
                + (f" USING ({_asking(visible, schema)})" if visible else "")
                + (f" WITH CHECK ({_asking(valid, schema)})" if valid else "")
            )
    roles = ", ".join(f"'{role_of(environment, task.name)}'" for task in all_tasks)
    no_more = f"FROM {schema}.rights WHERE role NOT IN ({roles})"
    if environment.production is None:
        # among its rights are those of staging environments
        no_more += f" AND starts_with(role, '{role_of(environment, '')}')"
    yield (
        # a catalog restored on another server has the rights of roles that are not there
        f"DO $$ DECLARE gone text; BEGIN FOR gone IN SELECT rolname FROM pg_roles WHERE rolname IN (SELECT role {no_more}) LOOP "
        f"EXECUTE 'REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM ' || quote_ident(gone); END LOOP; END $$"
    )
    yield f"DELETE {no_more}"
    commands = {table: set(policies) for table, policies in _POLICIES.items()}
    for task in all_tasks:
        role = role_of(environment, task.name)
        yield f"DO $$ BEGIN CREATE ROLE {quoted(role)} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        yield from _granted(schema, role, commands, _rights(task))


def statements_for_production(staging: Environment, all_tasks: Sequence[Task]) -> Iterator[str]:
    """The SQL that lets the tasks of a staging environment read production's catalog; their roles must be there."""
    if staging.production is None:
        raise InputError(f"{staging.label} reads no other environment")
    yield ONE_AFTER_THE_OTHER
    for task in all_tasks:
        sees = {asset: {"sees"} for asset in task.sees}
        yield from _granted(_schema(staging.production), role_of(staging, task.name), _READS, sees)


def owns_rights(environment: Environment) -> str:
    """As SQL, whether an environment's table of rights is there and belongs to who asks."""
    return (
        f"EXISTS (SELECT FROM pg_tables WHERE schemaname = '{environment.catalog_schema}' "
        "AND tablename = 'rights' AND pg_has_role(tableowner, 'USAGE'))"
    )


def without_rights(production: Environment, roles: Sequence[str]) -> str:
    """The statement by which production's table of rights forgets roles."""
    names = ", ".join(f"'{role}'" for role in roles)
    return f"DELETE FROM {_schema(production)}.rights WHERE role IN ({names})"


def statements_without_production(production: Environment, roles: Sequence[str]) -> Iterator[str]:
    """The SQL that takes from roles, which must be there, whatever they may do with production's catalog."""
    schema, names = _schema(production), ", ".join(map(quoted, roles))
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {names}"
    yield f"REVOKE ALL ON SCHEMA {schema} FROM {names}"
    yield without_rights(production, roles)


def _rights(task: Task) -> dict[str, set[str]]:
    """By asset or source, what the task may do with its rows."""
    assets = task.sees | task.ends
    return {asset: {right for right in RIGHTS if asset in getattr(task, right)} for asset in assets}


def _granted(
    schema: str, role: str, commands: dict[str, set[str]], rights: dict[str, set[str]]
) -> Iterator[str]:
    name = quoted(role)
    yield f"GRANT USAGE ON SCHEMA {schema} TO {name}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name}"
    for table, its in commands.items():
        yield f"GRANT {', '.join(sorted(its))} ON {schema}.{table} TO {name}"
    yield f"GRANT SELECT ON {schema}.rights, {schema}.catalog_versions TO {name}"
    yield f"DELETE FROM {schema}.rights WHERE role = '{role}'"
    rows = (
        f"('{role}', '{asset}', {', '.join(str(right in its).lower() for right in RIGHTS)})"
        for asset, its in sorted(rights.items())
    )
    yield f"INSERT INTO {schema}.rights (role, asset, {', '.join(RIGHTS)}) VALUES {', '.join(rows)}"


def _asking(rule: str, schema: str) -> str:
    """The rule, with each right in it as a question to the table of rights."""
    mine = f"asset IN (SELECT its.asset FROM {schema}.rights its WHERE its.role = current_user AND its."
    return rule.format(**{right: f"{mine}{right})" for right in RIGHTS})


def _schema(environment: Environment) -> str:
    if environment.catalog_schema is None:
        raise InputError(
            "the catalog is a SQLite file, which has no roles; set PHOTO_POPULARITY_CATALOG to a PostgreSQL URL"
        )
    return quoted(environment.catalog_schema)


def quoted(name: str) -> str:
    """The name as SQL takes it."""
    return str(dialect().identifier_preparer.quote(name))  # type: ignore[no-untyped-call]
