"""S3 itself refuses whatever a task may not do: each task against every asset and source, with authorization enforced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from photo_popularity.definitions import PIPELINE
from photo_popularity.deployment.s3_policies import policy
from photo_popularity.deployment.tasks import Task, tasks
from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.identity import role_of
from resources.settings import Settings
from tests.services.s3 import S3Server, enforcing_server

pytestmark = pytest.mark.s3

SOURCES = {"photo_files": "photos", "log_files": "logs"}
ASSETS = sorted(PIPELINE.by_asset)
STEPS = [task for task in tasks() if task.files]
EVERY = pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
DENIED = "AccessDenied"
ClientOf = Callable[[Environment, Task], Any]


def environment(name: str) -> Environment:
    return Environment(
        name,
        "ann",
        Path("home"),
        Settings(storage="s3://data/results", photos="s3://site/photos", logs="s3://site/logs/"),
    )


STAGING, PRODUCTION = environment("staging"), environment("production")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    """The tasks of both environments by their roles, on a server with an object of every kind."""
    with enforcing_server(tmp_path_factory.mktemp("s3") / "server.log") as (server, enforce):
        client = server.client()
        for bucket in ("data", "site"):
            client.create_bucket(Bucket=bucket)
        for place in (STAGING, PRODUCTION):
            for asset in ASSETS:
                client.put_object(Bucket="data", Key=f"results/{place.label}/{asset}/x.parquet", Body=b"rows")
            client.put_object(Bucket="data", Key=f"results/{place.label}/bundles/log_signals/x", Body=b"rows")
        for folder in SOURCES.values():
            client.put_object(Bucket="site", Key=f"{folder}/x", Body=b"content")
        users = {
            role_of(place, task.name): server.user(
                role_of(place, task.name), policy(task, place, PIPELINE.file_sets.values())
            )
            for place in (STAGING, PRODUCTION)
            for task in tasks()
        }
        enforce()
        yield users


@pytest.fixture
def client_of(users: dict[str, S3Server]) -> ClientOf:
    return lambda place, task: users[role_of(place, task.name)].client()


def outcome(call: Callable[..., Any], **arguments: Any) -> str:
    """`done`, or the code with which S3 refuses."""
    from botocore.exceptions import ClientError

    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@EVERY
@pytest.mark.parametrize("place", [PRODUCTION, STAGING], ids=lambda place: place.name)
def test_a_task_reads_its_inputs_and_writes_its_outputs_and_nothing_else(
    place: Environment, task: Task, client_of: ClientOf
) -> None:
    client = client_of(place, task)
    for asset in ASSETS:
        key = f"results/{place.label}/{asset}/x.parquet"
        may_read, may_write = asset in task.reads | task.files, asset in task.files
        read = outcome(client.get_object, Bucket="data", Key=key)
        written = outcome(client.put_object, Bucket="data", Key=key, Body=b"rows")
        assert (asset, read) == (asset, "done" if may_read else DENIED)
        assert (asset, written) == (asset, "done" if may_write else DENIED)
        assert outcome(client.delete_object, Bucket="data", Key=key) == DENIED
    bundle = f"results/{place.label}/bundles/log_signals/x"
    expected = "done" if "log_signals" in task.bundles else DENIED
    assert outcome(client.get_object, Bucket="data", Key=bundle) == expected
    assert outcome(client.put_object, Bucket="data", Key=bundle, Body=b"rows") == expected


@EVERY
def test_a_task_reads_only_its_sources_and_changes_none(task: Task, client_of: ClientOf) -> None:
    client = client_of(PRODUCTION, task)
    for source, folder in SOURCES.items():
        expected = "done" if source in task.sources else DENIED
        assert (source, outcome(client.get_object, Bucket="site", Key=f"{folder}/x")) == (source, expected)
        assert outcome(client.put_object, Bucket="site", Key=f"{folder}/x", Body=b"") == DENIED
        assert outcome(client.delete_object, Bucket="site", Key=f"{folder}/x") == DENIED


@EVERY
def test_staging_reads_of_production_what_the_same_task_reads_and_writes_nothing_there(
    task: Task, client_of: ClientOf
) -> None:
    client = client_of(STAGING, task)
    for asset in ASSETS:
        key = f"results/production/{asset}/x.parquet"
        expected = "done" if asset in task.reads | task.files else DENIED
        assert (asset, outcome(client.get_object, Bucket="data", Key=key)) == (asset, expected)
        assert outcome(client.put_object, Bucket="data", Key=key, Body=b"rows") == DENIED
        assert outcome(client.delete_object, Bucket="data", Key=key) == DENIED


@EVERY
def test_production_knows_nothing_of_staging(task: Task, client_of: ClientOf) -> None:
    client = client_of(PRODUCTION, task)
    for asset in ASSETS:
        key = f"results/staging-ann/{asset}/x.parquet"
        assert outcome(client.get_object, Bucket="data", Key=key) == DENIED
        assert outcome(client.put_object, Bucket="data", Key=key, Body=b"rows") == DENIED


def test_without_results_in_s3_there_is_no_policy() -> None:
    place = Environment("production", "ann", Path("/home"), Settings())
    with pytest.raises(InputError, match="/home/storage/production, not in S3; set PHOTO_POPULARITY_STORAGE"):
        policy(STEPS[0], place, PIPELINE.file_sets.values())
