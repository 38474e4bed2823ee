"""A site on servers for `deploy/one_machine` to work on, and what is to come of it: the versions of an embedded run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from resources.environment import read_environment
from resources.identity import LOOKS
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.dagster_ui import wait_for
from tests.end_to_end.test_environments import VERSIONS, copy_database, succeeded
from tests.services.identities import credentials_of_tasks, drop_roles, write_credentials
from tests.services.one_machine import variables_of_the_example
from tests.services.postgres import Databases
from tests.services.s3 import EnforcingServer, S3Server, enforcing_server

BUCKET, SALT = "everything", "a secret of this test"
LAST_NIGHT = "2026-10-24"
# each row needs what another has made
QUESTION = f"SELECT * FROM popularity_predictions WHERE day = '{LAST_NIGHT}' ORDER BY photo_id"

Versions = dict[tuple[str, str], str]
"""The content version of each partition, by asset and partition."""


def versions(command_line: CommandLine, variables: Mapping[str, str]) -> Versions:
    """What the catalog has now."""
    rows = command_line.query(VERSIONS, **variables)
    return {(row["asset"], row["partition"]): row["content_version"] for row in rows}


def wait_for_versions(
    wanted: Versions, command_line: CommandLine, variables: Mapping[str, str], *, seconds: float
) -> None:
    """Return once the night has made them all."""
    wait_for(
        lambda: wanted.items() <= versions(command_line, variables).items(), "the night", seconds=seconds
    )


def embedded_run(site: Path, home: Path, **variables: str) -> CommandLine:
    """The site after one run without any server."""
    command_line = CommandLine(home)
    succeeded(command_line, "run", "--site", str(site), PHOTO_POPULARITY_VISITOR_SALT=SALT, **variables)
    return command_line


@contextmanager
def deployed_site(
    site: Path, folder: Path, embedded: CommandLine, *, s3: S3Server, bucket: str, postgres: Databases
) -> Iterator[dict[str, str]]:
    """The environment of a production whose site, results and records lie on servers; nothing is made yet."""
    settings = tomllib.loads((embedded.home / "settings.toml").read_text())
    databases = {name: postgres.new_database() for name in ("site", "catalog", "dagster")}
    copy_database(site / "site.sqlite", databases["site"])
    for file in sorted(site.glob("photos/**/*.*")) + sorted(site.glob("logs/*")):
        s3.client().upload_file(str(file), bucket, f"site/{file.relative_to(site)}")
    (folder / "home").mkdir(exist_ok=True)
    try:
        yield {
            **variables_of_the_example(),
            **s3.environment,
            "DAGSTER_HOME": str(folder / "dagster"),
            "DAGSTER_POSTGRES_URL": databases["dagster"],
            "PHOTO_POPULARITY_HOME": str(folder / "home"),
            "PHOTO_POPULARITY_CATALOG": databases["catalog"],
            "PHOTO_POPULARITY_STORAGE": f"s3://{bucket}/results",
            "PHOTO_POPULARITY_S3_ENDPOINT": s3.endpoint_url,
            "PHOTO_POPULARITY_PHOTOS": f"s3://{bucket}/site/photos",
            "PHOTO_POPULARITY_LOGS": f"s3://{bucket}/site/logs",
            "PHOTO_POPULARITY_DATABASE": databases["site"],
            "PHOTO_POPULARITY_VISITOR_SALT": SALT,
            "PHOTO_POPULARITY_CLASSIFIER": settings["classifier"],
            "PHOTO_POPULARITY_DATA_SINCE": settings["data_since"],
            "PHOTO_POPULARITY_SECONDS_BETWEEN_LOOKS": "5",
        }
    finally:
        for url in databases.values():
            postgres.drop(url)


@dataclass(frozen=True)
class RestrictedSite:
    """A deployed site whose servers refuse each task whatever it has no right to."""

    everybodys: Mapping[str, str]
    by_task: Mapping[str, Mapping[str, str]]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of what looks at the sources; the tasks' own lies in the folder of credentials."""
        return {**self.everybodys, **self.by_task[LOOKS]}


@contextmanager
def restricted_site(
    site: Path,
    folder: Path,
    embedded: CommandLine,
    *,
    postgres: Databases,
    given: EnforcingServer | None = None,
    **chosen: str,
) -> Iterator[RestrictedSite]:
    """A `deployed_site` with a role and a user for each task, on an S3 server of its own or a given one."""
    own = enforcing_server(folder / "s3.log")
    with nullcontext(given) if given else own as (s3, enforce):
        s3.client().create_bucket(Bucket=BUCKET)
        with deployed_site(site, folder, embedded, s3=s3, bucket=BUCKET, postgres=postgres) as everybodys:
            everybodys |= {"PHOTO_POPULARITY_CREDENTIALS": str(folder / "credentials"), **chosen}
            production = read_environment(everybodys)
            by_task = credentials_of_tasks(production, s3)
            write_credentials(folder / "credentials", by_task)
            enforce()
            yield RestrictedSite(everybodys, by_task)
            drop_roles(production)
