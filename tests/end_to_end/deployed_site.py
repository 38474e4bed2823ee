"""A site on servers for `deploy/one_machine` to work on, and what is to come of it: the versions of an embedded run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.test_environments import VERSIONS, copy_database, succeeded
from tests.services.one_machine import variables_of_the_example
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

SALT = "a secret of this test"
LAST_NIGHT = "2026-10-24"
# each row needs what another has made
QUESTION = f"SELECT * FROM popularity_predictions WHERE day = '{LAST_NIGHT}' ORDER BY photo_id"

Versions = dict[tuple[str, str], str]
"""The content version of each partition, by asset and partition."""


def versions(command_line: CommandLine, variables: Mapping[str, str]) -> Versions:
    """What the catalog has now."""
    rows = command_line.query(VERSIONS, **variables)
    return {(row["asset"], row["partition"]): row["content_version"] for row in rows}


def embedded_run(site: Path, home: Path, **variables: str) -> CommandLine:
    """The site after one run without any server."""
    command_line = CommandLine(home)
    succeeded(command_line, "run", "--site", str(site), PHOTO_POPULARITY_VISITOR_SALT=SALT, **variables)
    return command_line


@contextmanager
def deployed_site(
    site: Path, folder: Path, embedded: CommandLine, *, s3: S3Server, bucket: str, postgres: PostgresServer
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
