"""`python -m photo_popularity.deployment PART`: what servers and systems are to be told of an environment.

Which environment that is, and where its data lie, say the variables and settings that everything else goes by.
"""

from __future__ import annotations

import argparse
import json
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator

import yaml

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.chart_values import chart_values
from photo_popularity.deployment.credentials import new_credentials, secret_manifests
from photo_popularity.deployment.database_roles import (
    owns_rights,
    statements,
    statements_for_production,
)
from photo_popularity.deployment.file_owners import commands, file_owners, refuse_other_environments
from photo_popularity.deployment.manifests import manifests
from photo_popularity.deployment.removal import remove
from photo_popularity.deployment.s3_policies import policy
from photo_popularity.deployment.tasks import duties, tasks
from photo_popularity.domain.errors import InputError
from resources.environment import Environment, read_environment
from resources.identity import role_of


def manifests_of(environment: Environment, pull_secret: str | None = None) -> Iterator[str]:
    """For `kubectl apply --filename -`: accounts, rights, admission policy, network policy and limits."""
    made = manifests(environment, tasks(), PIPELINE, pull_secret=pull_secret)
    yield yaml.safe_dump_all(made, sort_keys=False, width=110)


def values_of(environment: Environment) -> Iterator[str]:
    """For `helm upgrade --values`: Dagster's database and the place of its logs; the rest is `deploy/kubernetes/values.yaml`."""
    yield yaml.safe_dump(chart_values(environment), sort_keys=False)


def policies_of(environment: Environment) -> Iterator[str]:
    """For S3: one policy for each task, as JSON, by the name of its role."""
    by_role = {
        role_of(environment, task.name): policy(task, environment, PIPELINE.file_sets.values())
        for task in (*tasks(), *duties())
    }
    yield json.dumps(by_role, indent=2) + "\n"


def roles_of(environment: Environment) -> Iterator[str]:
    """For `psql`, as the owner of the catalog's schema: roles, and what each may do."""
    yield from _all_or_nothing(statements(environment, tasks()))
    if environment.production:
        yield (
            "\n-- as the owner of production's schema\n"
            f"SELECT {owns_rights(environment.production)} AS is_owner \\gset\n\\if :is_owner\n"
        )
        yield from _all_or_nothing(statements_for_production(environment, tasks()))
        yield (
            f"\\else\n\\warn '{environment.label} may not read production: no rights are in {environment.production.catalog_schema} "
            "yet, or another owner is to be given these statements, too'\n\\endif\n"
        )


def _all_or_nothing(sql: Iterable[str]) -> Iterator[str]:
    """In between, rows would be hidden from runs that are at work."""
    yield "\\set ON_ERROR_STOP on\nSET client_min_messages = warning;\nBEGIN;\n"
    yield from (f"{statement};\n" for statement in sql)
    yield "COMMIT;\n"


def credentials_of(environment: Environment, but: Iterable[str] = ()) -> Iterator[str]:
    """For `kubectl apply --filename -`: secrets with new passwords and keys, which PostgreSQL and S3 are told at once."""
    # as kubectl names them
    kept = {name.removeprefix("secret/") for name in but}
    found = new_credentials(environment, [*tasks(), *duties()], PIPELINE.file_sets.values(), but=kept)
    yield yaml.safe_dump_all(secret_manifests(environment, found), sort_keys=False)


def removed(environment: Environment) -> Iterator[str]:
    """Removes what a staging environment has in PostgreSQL and S3."""
    yield from (f"{line}\n" for line in remove(environment, [*tasks(), *duties()]))


def owners_of(environment: Environment) -> Iterator[str]:
    """For `sh`, as root of the environment's own machine: users, groups, and the folders of each task."""
    refuse_other_environments(environment, pwd.getpwall())
    for command in commands(file_owners(environment, tasks(), list(PIPELINE.file_sets.values()))):
        yield f"{command}\n"


PARTS: dict[str, Callable[..., Iterator[str]]] = {
    "manifests": manifests_of,
    "values": values_of,
    "policies": policies_of,
    "roles": roles_of,
    "credentials": credentials_of,
    "owners": owners_of,
    "remove": removed,
}


def main() -> None:
    """Print the part that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m photo_popularity.deployment", description=__doc__)
    commands = parser.add_subparsers(dest="part", required=True)
    by_name = {
        name: commands.add_parser(name, help=part.__doc__, description=part.__doc__)
        for name, part in PARTS.items()
    }
    by_name["manifests"].add_argument(
        "--pull-secret",
        metavar="SECRET",
        help="the namespace's secret of a registry whose images are not public",
    )
    by_name["credentials"].add_argument(
        "--but", nargs="*", default=[], metavar="SECRET", help="secrets that are there and stay as they are"
    )
    options = vars(parser.parse_args())
    try:
        sys.stdout.writelines(PARTS[options.pop("part")](read_environment(), **options))
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
