"""S3 itself refuses whatever a task may not do: each task and duty against all that every environment and source has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.s3_policies import policy
from photo_popularity.deployment.tasks import LOGS, Task, duties, tasks
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import role_of
from resources.settings import Settings
from tests.services.s3 import enforcing_server

pytestmark = pytest.mark.s3

SOURCES = {"photo_files": "photos", "log_files": "logs"}
ASSETS = sorted(PIPELINE.by_asset)
BUNDLE = "bundles/log_signals"
EVERYBODY = [*tasks(), *duties()]
EVERY = pytest.mark.parametrize("task", EVERYBODY, ids=lambda task: task.name)
DENIED = "AccessDenied"
ClientOf = Callable[[Environment, Task], Any]


def environment(name: str, user: str) -> Environment:
    return Environment(
        name,
        user,
        Path("home"),
        Settings(storage="s3://data/results", photos="s3://site/photos", logs="s3://site/logs/"),
    )


PRODUCTION, ANN, BEN = PLACES = (
    environment("production", "ops"),
    environment("staging", "ann"),
    environment("staging", "ben"),
)


def keys_of(place: Environment) -> dict[str, str]:
    """A key of every kind below an environment's root: by asset, of its bundles, of what steps print."""
    keys = {asset: f"{asset}/x.parquet" for asset in ASSETS} | {BUNDLE: f"{BUNDLE}/x", LOGS: f"{LOGS}/x"}
    return {kind: f"results/{place.label}/{key}" for kind, key in keys.items()}


@pytest.fixture(scope="module")
def client_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientOf]:
    """The tasks and duties of all environments, on a server with an object of every kind."""
    with enforcing_server(tmp_path_factory.mktemp("s3") / "server.log") as (server, enforce):
        client = server.client()
        for bucket in ("data", "site"):
            client.create_bucket(Bucket=bucket)
        for place in PLACES:
            for key in keys_of(place).values():
                client.put_object(Bucket="data", Key=key, Body=b"rows")
        for folder in SOURCES.values():
            client.put_object(Bucket="site", Key=f"{folder}/x", Body=b"content")
        clients = {
            (place, task): server.user(
                role_of(place, task.name), policy(task, place, PIPELINE.file_sets.values())
            ).client()
            for place in PLACES
            for task in EVERYBODY
        }
        enforce()
        yield lambda place, task: clients[place, task]


def outcome(call: Callable[..., Any], **arguments: Any) -> str:
    """`done`, or the code with which S3 refuses."""
    from botocore.exceptions import ClientError

    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@EVERY
@pytest.mark.parametrize("place", [PRODUCTION, ANN], ids=lambda place: place.label)
def test_a_task_reads_its_inputs_and_writes_its_outputs_and_nothing_else(
    place: Environment, task: Task, client_of: ClientOf
) -> None:
    client = client_of(place, task)
    bundles = {BUNDLE} if "log_signals" in task.bundles else set()
    # what steps print is theirs to write; whoever starts runs shows it
    may_read = task.reads | task.files | bundles
    may_write = task.files | bundles | ({LOGS} - task.reads)
    for kind, key in keys_of(place).items():
        read = outcome(client.get_object, Bucket="data", Key=key)
        written = outcome(client.put_object, Bucket="data", Key=key, Body=b"rows")
        assert (kind, read) == (kind, "done" if kind in may_read else DENIED)
        assert (kind, written) == (kind, "done" if kind in may_write else DENIED)
        assert outcome(client.delete_object, Bucket="data", Key=key) == DENIED


@EVERY
def test_a_task_reads_only_its_sources_and_changes_none(task: Task, client_of: ClientOf) -> None:
    client = client_of(PRODUCTION, task)
    for source, folder in SOURCES.items():
        expected = "done" if source in task.sources else DENIED
        assert (source, outcome(client.get_object, Bucket="site", Key=f"{folder}/x")) == (source, expected)
        assert outcome(client.put_object, Bucket="site", Key=f"{folder}/x", Body=b"") == DENIED
        assert outcome(client.delete_object, Bucket="site", Key=f"{folder}/x") == DENIED


@EVERY
@pytest.mark.parametrize(
    ("own", "other"),
    [(PRODUCTION, ANN), (ANN, BEN), (BEN, ANN), (ANN, PRODUCTION)],
    ids=lambda place: place.label,
)
def test_of_another_environment_only_assets_of_production_are_read_and_nothing_is_written(
    own: Environment, other: Environment, task: Task, client_of: ClientOf
) -> None:
    client = client_of(own, task)
    may_read = (task.reads | task.files).intersection(ASSETS) if other is PRODUCTION else frozenset()
    for kind, key in keys_of(other).items():
        read = outcome(client.get_object, Bucket="data", Key=key)
        assert (kind, read) == (kind, "done" if kind in may_read else DENIED)
        assert outcome(client.put_object, Bucket="data", Key=key, Body=b"rows") == DENIED
        assert outcome(client.delete_object, Bucket="data", Key=key) == DENIED


def test_without_results_in_s3_there_is_no_policy() -> None:
    place = Environment("production", "ann", Path("/home"), Settings())
    with pytest.raises(InputError, match="/home/storage/production, not in S3; set PHOTO_POPULARITY_STORAGE"):
        policy(EVERYBODY[0], place, PIPELINE.file_sets.values())
