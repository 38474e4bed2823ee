"""The workflow's own scripts deploy a branch's staging environment and remove it: PostgreSQL, S3 and git are real.

In the place of the runner's `docker`, `kubectl`, `helm` and `make` stand programs that run the command here, or write down what
they were asked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from photo_popularity.deployment.admission import DAGSTER_SECRET
from photo_popularity.deployment.database_roles import statements
from photo_popularity.deployment.tasks import duties, tasks
from resources.environment import Environment
from resources.identity import dagster_role_of, role_of, secret_of
from resources.outputs import read_outputs
from resources.settings import Settings
from tests.deploy.test_workflow import JOBS, ROOT
from tests.services.identities import drop_roles
from tests.services.postgres import PostgresServer, owned_database
from tests.services.s3 import S3Server, enforcing_server

pytestmark = [pytest.mark.postgres, pytest.mark.s3, pytest.mark.end_to_end]

BRANCH = "Feature/One"
RUNNER = {
    # `docker login` reads a password; `docker run --rm --env-file FILE IMAGE COMMAND…` runs the command with these variables alone
    "docker": """
        [[ $1 == login ]] && exec cat > /dev/null
        shift 2; variables=$2; shift 3
        mapfile -t given < "$variables"
        exec env -i PATH="$PATH" HOME="$HOME" AWS_CONFIG_FILE=/dev/null "${given[@]}" "$@"
    """,
    "kubectl": """
        echo "kubectl $*" >> "$RUNNER_TEMP/asked"
        case "$*" in
            *"create secret"*) echo "{apiVersion: v1, kind: Secret, metadata: {name: registry}}";;
            *"get secrets"*) sed 's|^|secret/|' "$RUNNER_TEMP/secrets";;
            apply*) cat >> "$RUNNER_TEMP/applied"; echo --- >> "$RUNNER_TEMP/applied";;
        esac
    """,
    "helm": """
        echo "helm $*" >> "$RUNNER_TEMP/asked"
        if [[ -e $RUNNER_TEMP/goes ]]; then git -C "$RUNNER_TEMP/repository" update-ref -d "refs/heads/$BRANCH"; fi
    """,
    "make": 'echo "make $*" >> "$RUNNER_TEMP/asked"',
}


@dataclass
class Runner:
    """A machine of the workflow, for a branch."""

    folder: Path
    variables: dict[str, str]

    def do(self, job: str, *, branch: bool, goes: bool = False) -> None:
        """Run the scripts of a job in which a step runs if its condition says so, while the branch is there, or goes in between."""
        (self.folder / "asked").write_text("")
        if branch:
            self.git(
                "update-ref", f"refs/heads/{BRANCH}", self.git("commit-tree", self.git("mktree"), "-m", "one")
            )
        else:
            self.git("update-ref", "-d", f"refs/heads/{BRANCH}")
        if goes:
            (self.folder / "goes").touch()
        outputs: dict[str, str] = {}
        for step in JOBS[job]["steps"]:
            wanted, its = is_true(step.get("if", ""), outputs), f"steps.{step.get('id')}"
            outputs[f"{its}.outcome"] = "success" if wanted else "skipped"
            if wanted and "run" in step:
                self._run(step["run"])
                outputs |= {
                    f"{its}.outputs.{name}": value for name, value in self._told("GITHUB_OUTPUT").items()
                }
                Path(self.variables["GITHUB_OUTPUT"]).unlink(missing_ok=True)

    def applied(self) -> dict[str, dict[str, Any]]:
        """What the cluster has been given, by kind and name."""
        found = [one for one in yaml.safe_load_all((self.folder / "applied").read_text()) if one]
        names = [one["metadata"]["name"] for one in found if one["kind"] == "Secret"]
        (self.folder / "secrets").write_text("".join(f"{name}\n" for name in names))
        return {f"{one['kind']}/{one['metadata']['name']}": one for one in found}

    def asked(self) -> str:
        return (self.folder / "asked").read_text()

    def git(self, *command: str) -> str:
        """What git says of the repository."""
        identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        return subprocess.run(
            ["git", "-C", self.folder / "repository", *identity, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()

    def _run(self, script: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            env=os.environ | self.variables | self._told("GITHUB_ENV"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _told(self, variable: str) -> dict[str, str]:
        """What scripts have written into the file that the variable names."""
        file = Path(self.variables[variable])
        lines = file.read_text().splitlines() if file.exists() else []
        return dict(line.split("=", 1) for line in lines)


def is_true(condition: str, values: Mapping[str, str]) -> bool:
    """Whether all terms of a step's condition are, in a job that nobody has cancelled."""
    terms = [term.strip() for term in condition.removeprefix("${{").removesuffix("}}").split("&&")]
    assert all(re.fullmatch(r"|!cancelled\(\)|!?steps\.[\w.]+( == '\w+')?", term) for term in terms), terms

    def holds(term: str) -> bool:
        name, _, wanted = term.removeprefix("!").partition(" == ")
        value = values.get(name, "")
        return (value == wanted.strip("'") if wanted else bool(value)) != term.startswith("!")

    return all(not term or holds(term) for term in terms)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with enforcing_server(tmp_path / "s3.log") as (owner, enforce):
        owner.client().create_bucket(Bucket="data")
        enforce()
        yield owner


@pytest.fixture
def catalog(postgres_server: PostgresServer) -> Iterator[str]:
    with owned_database(postgres_server) as url:
        yield url


@pytest.fixture
def runner(tmp_path: Path, s3: S3Server, catalog: str) -> Runner:
    if not shutil.which("psql"):
        pytest.skip("psql is missing here (Debian: apt-get install postgresql-client)")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in RUNNER.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\nset -eu -o pipefail\n{script}\n")
        (programs / name).chmod(0o755)
    settings = {
        "PHOTO_POPULARITY_STORAGE": "s3://data/results",
        "PHOTO_POPULARITY_PHOTOS": "s3://site/photos",
        "PHOTO_POPULARITY_LOGS": "s3://site/logs",
        "PHOTO_POPULARITY_S3_ENDPOINT": s3.endpoint_url,
        "PHOTO_POPULARITY_HOME": str(tmp_path / "home"),
    }
    secrets = {
        "PHOTO_POPULARITY_CATALOG": catalog,
        "PHOTO_POPULARITY_DATABASE": "postgresql://site",
    } | s3.environment
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "secrets").touch()
    subprocess.run(["git", "init", "--quiet", "--bare", temporary / "repository"], check=True)
    return Runner(
        temporary,
        {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(temporary),
            "GITHUB_ENV": str(tmp_path / "env"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_PATH": str(tmp_path / "path"),
            "GITHUB_SERVER_URL": temporary.as_uri(),
            "GITHUB_REPOSITORY": "repository",
            "GITHUB_ACTOR": "ann",
            "BRANCH": BRANCH,
            "IMAGE": "registry.example.com/photo-popularity:1",
            "TOKEN": "token",
            "STAGING_KUBECONFIG": "a: kubeconfig",
            "STAGING_REGISTRY": '{"auths": {}}',
            "STAGING_SETTINGS": "\n".join(f"{name}={value}" for name, value in settings.items()),
            "STAGING_SECRETS": "\n".join(f"{name}={value}" for name, value in secrets.items()),
        },
    )


@contextmanager
def production(catalog: str) -> Iterator[None]:
    """There is a production, whose tasks have roles."""
    its = Environment("production", "ops", Path("home"), Settings(catalog=catalog))
    read_outputs(its).catalog.untold()  # the first who asks makes the tables
    with sa.create_engine(catalog, poolclass=sa.pool.NullPool).begin() as connection:
        for statement in statements(its, tasks()):
            connection.exec_driver_sql(statement)
    yield
    drop_roles(its)


def test_a_branch_gets_an_environment_that_goes_with_it(runner: Runner, s3: S3Server, catalog: str) -> None:
    """For the catalog's owner; production is only made after the branch was pushed first."""
    its = Environment("staging", BRANCH, Path("home"))
    runner.do("staging", branch=True)
    secrets = {name for name in runner.applied() if name.startswith("Secret/")}
    assert secrets == {
        f"Secret/{name}"
        for name in (*(secret_of(task.name) for task in (*tasks(), *duties())), DAGSTER_SECRET, "registry")
    }
    assert f".dockerconfigjson={runner.folder / 'registry'}" in runner.asked()
    assert runner.applied()["ServiceAccount/daemon"]["imagePullSecrets"] == [{"name": "registry"}]
    assert f"Namespace/photo-popularity-{its.label}" in runner.applied()
    *_, deployed, restarted, up = runner.asked().splitlines()
    assert deployed.startswith("helm upgrade ")
    assert [line.partition("rollout ")[2] for line in (restarted, up)] == [
        "restart deployment",
        "status deployment --timeout 10m",
    ]
    assert f"--values {runner.folder / 'values'}" in runner.asked()
    values = yaml.safe_load((runner.folder / "values").read_text())
    assert values["postgresql"]["postgresqlUsername"] == dagster_role_of(its)
    assert values["computeLogManager"]["config"]["s3ComputeLogManager"] == {
        "bucket": "data",
        "prefix": f"results/{its.label}/logs",
        "endpointUrl": s3.endpoint_url,
    }
    first = runner.applied()
    url = first["Secret/photo-features-credentials"]["stringData"]["PHOTO_POPULARITY_CATALOG"]
    with sa.create_engine(url, poolclass=sa.pool.NullPool).connect() as connection:
        assert connection.scalar(sa.text("SELECT current_user")) == role_of(its, "photo_features")
    with production(catalog):
        # what is at work keeps its passwords when the branch is pushed again, and reads production from then on
        runner.do("staging", branch=True)
        assert runner.applied() == first
        with sa.create_engine(url, poolclass=sa.pool.NullPool).connect() as connection:
            connection.exec_driver_sql("SELECT FROM photo_popularity_production.current_outputs")
        # it was deleted and pushed again before the removal's turn
        runner.do("remove-staging", branch=True)
        assert runner.asked() == ""
        runner.do("remove-staging", branch=False)
        assert "make install\n" in runner.asked()
        assert_nothing_is_left(its, runner, s3, catalog)


@pytest.mark.parametrize("deployed", [False, True])
def test_nothing_is_left_of_a_branch_that_goes_before_its_environment_is_there(
    runner: Runner, s3: S3Server, catalog: str, *, deployed: bool
) -> None:
    """The removal of a branch that is deleted while its tests are at work finds nothing, and comes only once."""
    with production(catalog):
        runner.do("staging", branch=deployed, goes=True)
        assert ("helm upgrade" in runner.asked()) == deployed
        assert (runner.folder / "applied").exists() == deployed
        assert_nothing_is_left(Environment("staging", BRANCH, Path("home")), runner, s3, catalog)


def assert_nothing_is_left(its: Environment, runner: Runner, s3: S3Server, catalog: str) -> None:
    """The environment has gone from everywhere."""
    assert f"kubectl delete namespace photo-popularity-{its.label} --ignore-not-found" in runner.asked()
    assert s3.client("iam").list_users()["Users"][1:] == []
    with sa.create_engine(catalog, poolclass=sa.pool.NullPool).connect() as connection:
        names = sa.text(
            "SELECT rolname FROM pg_roles UNION SELECT datname FROM pg_database UNION SELECT nspname FROM pg_namespace "
            "UNION SELECT role FROM photo_popularity_production.rights"
        )
        assert [name for name in connection.scalars(names) if "staging" in name] == []
