"""The compose file starts what the systemd units start, from the image, with no password of its own and no way to write to the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from resources.environment import OTHER_VARIABLES, PREFIX
from resources.settings import Settings
from tests.services.one_machine import UNITS, service, variables_of_the_example
from tests.services.postgres import PostgresServer
from tests.services.s3 import S3Server

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: its for name, its in SERVICES.items() if its["image"].startswith("photo-popularity:")}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:?[?+-]?)([^}]*)\}")


def example() -> dict[str, str]:
    lines = (FOLDER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("unit", UNITS)
def test_it_starts_what_the_units_start(unit: str) -> None:
    """Two ways to run one machine that drift apart would be two programs."""
    words = service(unit)["ExecStart"].split()
    expected = [Path(words[0]).name, *words[1:]]
    in_a_container = {
        "127.0.0.1": "0.0.0.0",
        "deploy/one_machine/workspace.yaml": "/etc/photo-popularity/workspace.yaml",
    }
    assert expected[0] in {script.name for script in entry_points(group="console_scripts")}
    assert OURS[unit]["command"] == [in_a_container.get(word, word) for word in expected]


def test_its_workspace_and_its_instance_are_those_of_one_machine() -> None:
    ours, theirs = (
        yaml.safe_load((ROOT / "deploy" / name / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
        for name in ("compose", "one_machine")
    )
    assert ours == {**theirs, "host": "code"}
    assert "../one_machine/dagster.yaml:/etc/photo-popularity/dagster.yaml:ro" in OURS["prepare"]["volumes"]
    assert (
        'install -D -m 0644 /etc/photo-popularity/dagster.yaml "$$DAGSTER_HOME/dagster.yaml"'
        in OURS["prepare"]["command"][-1]
    )


def test_every_process_knows_what_the_units_know_in_the_same_names() -> None:
    settings = {PREFIX + item.name.upper() for item in fields(Settings)}
    known = settings | {PREFIX + name for name in OTHER_VARIABLES} | set(variables_of_the_example())
    # Docker's init reads it
    known |= {"TINI_KILL_PROCESS_GROUP", "TINI_SUBREAPER"}
    # the image sets it
    wanted = set(variables_of_the_example()) - {"PHOTO_POPULARITY_HOME"}
    assert OURS.keys() == {*UNITS, "prepare"}
    for its in OURS.values():
        assert wanted <= its["environment"].keys() <= known


def test_every_secret_is_asked_for_and_none_has_a_default() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    found = VARIABLE.findall(text)
    assert {name for name, _, _ in found} == set(example())
    assert [one for one in found if one[1] != ":?" or not one[2]] == []
    assert set(example().values()) == {""}
    for its in SERVICES.values():
        for name, value in its.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|SALT|URL|CATALOG|DATABASE", name):
                assert VARIABLE.search(value), name


def test_no_service_writes_to_its_image_or_gains_rights() -> None:
    for name, its in SERVICES.items():
        assert its["read_only"] is True, name
        assert its["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in its["tmpfs"], name
        assert not its.get("privileged"), name
    assert all(its["cap_drop"] == ["ALL"] for its in OURS.values())


def test_what_ends_a_service_is_told_to_its_runs() -> None:
    """Docker's init tells its one child; a run that was told nothing is killed with the container."""
    assert all(its["init"] is True for its in OURS.values())
    assert all(its["environment"]["TINI_KILL_PROCESS_GROUP"] == "1" for its in OURS.values())
    assert OURS["code"]["stop_grace_period"] == "2m"


def test_the_daemon_sees_the_processes_of_runs_and_starts_without_any_other_container() -> None:
    assert {name: its["pid"] for name, its in SERVICES.items() if "pid" in its} == {
        "code": "host",
        "daemon": "host",
    }
    joins = [key for its in SERVICES.values() for key, value in its.items() if "service:" in str(value)]
    assert joins == []
    assert all(its["environment"]["TINI_SUBREAPER"] == "1" for its in OURS.values())


def test_nothing_is_served_beyond_this_machine() -> None:
    published = [port for its in SERVICES.values() for port in its.get("ports", [])]
    assert published == ["127.0.0.1:3000:3000"]


def test_every_image_is_of_one_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {its["image"] for its in OURS.values()} == {f"photo-popularity:{version}"}
    assert all(re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", its["image"]) for its in SERVICES.values())


def test_each_service_waits_for_what_it_needs_to_be_well() -> None:
    """A condition on a service without a check of its health would never hold."""
    for its in SERVICES.values():
        for needed, how in its.get("depends_on", {}).items():
            ends = "restart" in SERVICES[needed] and SERVICES[needed]["restart"] == "no"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")
            # the code server's check is the image's
            assert ends or needed == "code" or "test" in SERVICES[needed]["healthcheck"]
    named = {text.split(":")[0] for its in SERVICES.values() for text in its["volumes"] if text[0].isalpha()}
    assert named == COMPOSE["volumes"].keys()


def answers(compose: list[str]) -> bool:
    """Whether there is such a program; docker may be there without its part."""
    if not shutil.which(compose[0]):
        return False
    return subprocess.run([*compose, "version"], capture_output=True, check=False).returncode == 0


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    compose = next(filter(answers, (["docker-compose"], ["docker", "compose"])), None)
    if compose is None:
        pytest.skip("neither docker-compose nor docker with its part compose is installed")
    chosen = tmp_path / "env"
    chosen.write_text("".join(f"{name}=/a-value\n" for name in example()))
    command = [*compose, "--env-file"]

    def check(file: Path) -> subprocess.CompletedProcess[str]:
        words = [*command, str(file), "--file", str(FOLDER / "compose.yaml"), "config", "--quiet"]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    assert check(chosen).returncode == 0, check(chosen).stderr
    refused = check(FOLDER / ".env.example")
    assert refused.returncode != 0
    assert VARIABLE.findall((FOLDER / "compose.yaml").read_text())[0][0] in refused.stderr + refused.stdout


@pytest.mark.postgres
def test_the_databases_belong_to_a_role_that_is_no_superuser(postgres_server: PostgresServer) -> None:
    server = sa.make_url(postgres_server.url("postgres"))
    password = "letters and 'quotes'"
    address = {"PGHOST": server.host or "", "PGPORT": str(server.port), "PGUSER": server.username or ""}
    variables = {
        **os.environ,
        **address,
        "PGPASSWORD": postgres_server.password,
        "DATABASE_PASSWORD": password,
    }
    subprocess.run(["sh", FOLDER / "databases.sh"], env=variables, check=True, capture_output=True)
    try:
        for name in ("dagster", "photo_popularity"):
            url = server.set(username="photo_popularity", password=password, database=name)
            engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
            with engine.begin() as connection:
                connection.execute(sa.text("CREATE SCHEMA of_its_own"))
                asked = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
                assert connection.execute(sa.text(asked)).scalar_one() is False
    finally:
        administrator = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with administrator.connect() as connection:
            for statement in ("DATABASE dagster", "DATABASE photo_popularity", "ROLE photo_popularity"):
                connection.execute(sa.text(f"DROP {statement}"))
        administrator.dispose()


@pytest.mark.s3
def test_what_prepares_the_store_may_run_again(s3_server: S3Server, tmp_path: Path) -> None:
    """Compose runs it at each `up`."""
    script: str = OURS["prepare"]["command"][-1]
    here: dict[str, str] = {
        "$$": "$",
        "http://s3:8333": s3_server.endpoint_url,
        "/etc/photo-popularity/dagster.yaml": str(ROOT / "deploy" / "one_machine" / "dagster.yaml"),
        "exec python": f"exec {sys.executable}",
    }
    for before, after in here.items():
        assert before in script
        script = script.replace(before, after)
    variables = {**os.environ, **s3_server.environment, "DAGSTER_HOME": str(tmp_path / "dagster")}
    for _ in range(2):
        subprocess.run(["sh", "-euc", script], env=variables, check=True)
    assert (tmp_path / "dagster" / "dagster.yaml").is_file()
    bucket = OURS["code"]["environment"]["PHOTO_POPULARITY_STORAGE"].removeprefix("s3://").split("/")[0]
    s3_server.client().delete_bucket(Bucket=bucket)
