"""What each task may do with S3, as IAM policies: read its inputs' files and its sources, write its outputs' files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from partitions.file_sets import FileSet
from photo_popularity.deployment.tasks import LOGS, Task
from photo_popularity.domain.errors import InputError
from resources.environment import Environment

S3 = "s3://"


def policy(task: Task, environment: Environment, file_sets: Iterable[FileSet]) -> dict[str, Any]:
    """The policy of a task in an environment, as IAM takes it; InputError when results are not kept in S3."""
    root, production = S3 + results_in_s3(environment), environment.production
    made, logs = sorted(task.files), [f"{root}/{LOGS}"]
    bundles = [f"{root}/bundles/{asset}" for asset in sorted(task.bundles)]
    # whoever starts runs shows the logs of all
    shows = logs if LOGS in task.reads else []
    writes = [*(f"{root}/{asset}" for asset in made), *bundles, *([] if shows else logs)]
    roots = [root, production.storage_root] if production else [root]
    reads = [f"{its}/{asset}" for its in roots for asset in sorted({*task.reads, *made} - {LOGS})] + shows
    settings = [files.setting for files in file_sets if files.name in task.sources]
    sources = [getattr(environment.settings, setting).rstrip("/") for setting in settings]
    reads += [*bundles, *(source for source in sources if source.startswith(S3))]
    # S3 tells a missing object from a forbidden one only to who may list its bucket; it does not say what is in it
    buckets = sorted({place.removeprefix(S3).partition("/")[0] for place in reads})
    statements = [
        _allow("Read", ["s3:GetObject"], _all_below(reads)),
        _allow("Write", ["s3:AbortMultipartUpload", "s3:PutObject"], _all_below(writes)),
        _allow("List", ["s3:ListBucket"], [f"arn:aws:s3:::{bucket}" for bucket in buckets]),
    ]
    return {"Version": "2012-10-17", "Statement": [one for one in statements if one["Resource"]]}


def results_in_s3(environment: Environment) -> str:
    """Bucket and prefix of an environment's results; InputError when they are not kept in S3."""
    root = environment.storage_root
    if not root.startswith(S3):
        raise InputError(
            f"results lie in {root}, not in S3; set PHOTO_POPULARITY_STORAGE to s3://BUCKET/PREFIX"
        )
    return root.removeprefix(S3)


def _all_below(places: Iterable[str]) -> list[str]:
    return [f"arn:aws:s3:::{place.removeprefix(S3)}/*" for place in places]


def _allow(name: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}
