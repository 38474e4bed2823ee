"""A private S3 server on this machine, in a process of its own, and a fresh bucket for each test."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.services.ports import HOST, accepts, free_port, wait_until

REGION = "us-east-1"
# requests that anybody may make before the server asks for rights
NOT_YET = {"INITIAL_NO_AUTH_ACTION_COUNT": "1000000"}


@dataclass(frozen=True)
class S3Server:
    """A running server and the credentials that it takes."""

    endpoint_url: str
    access_key: str = "testing-access-key"
    secret_key: str = "testing-secret-key"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead every S3 client here, and nowhere else."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str = "s3") -> Any:
        """A client of boto3, whatever the environment says."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )

    def user(self, name: str, policy: Mapping[str, Any]) -> S3Server:
        """The server as a new user has it who may do what the policy says."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="its", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return S3Server(self.endpoint_url, key["AccessKeyId"], key["SecretAccessKey"])

    def new_bucket(self) -> str:
        """Create an empty bucket and give its name."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name


EnforcingServer: TypeAlias = tuple[S3Server, Callable[[], None]]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server for the whole session."""
    with running_s3(tmp_path_factory.mktemp("s3") / "server.log") as server:
        yield server


@contextmanager
def enforcing_server(log: Path) -> Iterator[EnforcingServer]:
    """A server for one who may do everything, and what makes it refuse everybody else whatever no policy allows."""
    with running_s3(log, **NOT_YET) as server:
        yield enforcing(server)


def enforcing(server: S3Server) -> EnforcingServer:
    """The same for a server that was started with what is `NOT_YET`."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    root = server.user("root", {"Version": "2012-10-17", "Statement": [everything]})

    def enforce() -> None:
        text = {"Content-Type": "text/plain"}
        count = urllib.request.Request(f"{server.endpoint_url}/moto-api/reset-auth", data=b"0", headers=text)
        urllib.request.urlopen(count, timeout=10).close()

    return root, enforce


@contextmanager
def running_s3(log: Path, **variables: str) -> Iterator[S3Server]:
    """Start a server that keeps everything in memory, and end it at the end."""
    port = free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", HOST, "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
        )
    try:
        wait_until(lambda: accepts(port), server, log.read_text)
        yield S3Server(f"http://{HOST}:{port}")
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket of the test's own; the environment leads S3 clients to its server."""
    import s3fs

    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    # s3fs remembers its connections by their arguments, and forgets the environment
    s3fs.S3FileSystem.clear_instance_cache()
    return s3_server.new_bucket()
