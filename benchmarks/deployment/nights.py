"""The same night on local files and on servers: how long, and whether it makes the same content versions."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import yaml

from benchmarks.deployment.events import BATCH_SIZE, DATABASE, STOCK_ON_POSTGRES, TOGETHER
from resources.event_log import EVENTS_AT_ONCE
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import Versions, versions
from tests.end_to_end.test_environments import copy_database, succeeded
from tests.services.one_machine import DEPLOYMENT
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

EMBEDDED = "SQLite, local files"
ON_POSTGRES, ON_S3 = "PostgreSQL, local files", "PostgreSQL, S3"
STOCK, POOLED = "stock", "resources/postgres_event_log.py"
REQUESTS = 50
Prepared = tuple[Sequence[str], Mapping[str, str]]
"""The options and the variables of a run."""


@dataclass
class Nights:
    """The nights of one place, a round each, and what they have made."""

    place: str
    events: str = ""
    seconds: list[float] = field(default_factory=list)
    made: Versions = field(default_factory=dict)

    def over(self, other: Nights) -> float:
        """The median of the rounds' ratios to another place's nights."""
        return median(mine / its for mine, its in zip(self.seconds, other.seconds, strict=True))


@dataclass(frozen=True)
class Servers:
    """Where the nights on servers keep what they make."""

    postgres: PostgresServer
    s3: S3Server


def measure_nights(
    folder: Path, site: Path, servers: Servers, *, rounds: int, tell: Callable[[str], object] = str
) -> Sequence[Nights]:
    """Every place in turn, in each round anew; the embedded ones first."""
    classifier = site / "classifier.skops"
    train = ["train-classifier", str(site / "classifier_training"), "--output", str(classifier)]
    succeeded(CommandLine(folder / "training"), *train)
    kinds = [
        Nights(EMBEDDED, "resources/event_log.py"),
        Nights(ON_POSTGRES, STOCK),
        Nights(ON_POSTGRES, TOGETHER),
        Nights(ON_POSTGRES, POOLED),
        Nights(ON_S3, POOLED),
    ]
    for turn in range(rounds):
        for place, nights in enumerate(kinds):
            with ExitStack() as stack:
                root = folder / f"{turn}-{place}"
                root.mkdir()
                stack.callback(shutil.rmtree, root)
                options, variables = prepared(nights, root, site, servers, stack)
                one = CommandLine(root / "home")
                started = time.perf_counter()
                succeeded(one, "run", *options, "--classifier", str(classifier), **variables)
                nights.seconds.append(time.perf_counter() - started)
                nights.made = versions(one, variables)
            tell(f"{nights.place} {nights.events}: {nights.seconds[-1]:.1f} s")
    return kinds


def prepared(nights: Nights, root: Path, site: Path, servers: Servers, stack: ExitStack) -> Prepared:
    """A place where nothing is made yet."""
    if nights.place == EMBEDDED:
        return ["--site", str(site)], {}
    urls = []
    for _ in range(3):
        urls.append(servers.postgres.new_database())
        stack.callback(servers.postgres.drop, urls[-1])
    variables = {
        "DAGSTER_HOME": str(root / "dagster"),
        DATABASE: urls[0],
        "PHOTO_POPULARITY_CATALOG": urls[1],
    }
    variables[BATCH_SIZE] = "0" if nights.events == STOCK else str(EVENTS_AT_ONCE)
    (root / "dagster").mkdir()
    settings = yaml.safe_load((DEPLOYMENT / "dagster.yaml").read_text())
    if nights.events != POOLED:
        settings = {key: its for key, its in settings.items() if not key.endswith("storage")}
        settings |= STOCK_ON_POSTGRES
    (root / "dagster" / "dagster.yaml").write_text(json.dumps(settings))
    if nights.place == ON_POSTGRES:
        return ["--site", str(site)], variables
    bucket = servers.s3.new_bucket()
    for file in sorted(site.glob("photos/**/*.*")) + sorted(site.glob("logs/*")):
        servers.s3.client().upload_file(str(file), bucket, f"site/{file.relative_to(site)}")
    copy_database(site / "site.sqlite", urls[2])
    source = f"s3://{bucket}/site"
    return (
        ["--photos", f"{source}/photos", "--logs", f"{source}/logs", "--database", urls[2]],
        {
            **variables,
            **servers.s3.environment,
            "PHOTO_POPULARITY_S3_ENDPOINT": servers.s3.endpoint_url,
            "PHOTO_POPULARITY_STORAGE": f"s3://{bucket}/results",
        },
    )


def milliseconds_of_requests(s3: S3Server) -> dict[str, float]:
    """The median of what a small object takes the server, by the kind of request."""
    client, bucket, seconds = s3.client(), s3.new_bucket(), dict[str, list[float]]()
    for place in range(REQUESTS):
        key = {"Bucket": bucket, "Key": str(place)}
        for kind, ask in (
            ("PUT", client.put_object),
            ("HEAD", client.head_object),
            ("GET", client.get_object),
        ):
            body = {"Body": bytes(1000)} if kind == "PUT" else {}
            started = time.perf_counter()
            answer = ask(**key, **body)
            if kind == "GET":
                answer["Body"].read()
            seconds.setdefault(kind, []).append(time.perf_counter() - started)
    return {kind: 1000 * median(its) for kind, its in seconds.items()}
