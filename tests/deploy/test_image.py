"""What the image promises: what is packaged and nothing else, from the lock alone, run by a number that is not root's."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = "deploy/image/requirements.lock"
TAG = "localhost/photo-popularity:tested"


def instructions(of: str = "") -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each with its words on one line; of one kind, if one is named."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    found = [(line.split()[0], " ".join(line.split()[1:])) for line in text.splitlines() if line.strip()]
    return [one for one in found if of in {"", one[0]}]


def copied() -> set[str]:
    words = [text.split() for _, text in instructions("COPY")]
    return {source for line in words if not line[0].startswith("--from") for source in line[:-1]}


def test_the_image_takes_what_is_packaged_and_the_lock() -> None:
    packages = {
        name for name in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"] if "." not in name
    }
    assert copied() - {LOCK, "pyproject.toml", "LICENSE"} == packages
    assert all((ROOT / source).exists() for source in copied())


def test_the_builder_is_sent_what_the_image_takes_and_nothing_else() -> None:
    """What git ignores, tests and documents could hold secrets, and would make each build anew."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied()
    # the last rule that fits decides
    assert rules[-1] == "**/__pycache__"


def test_dependencies_come_from_the_lock_alone() -> None:
    installs = [text for _, text in instructions("RUN") if " install " in text and "pip" in text.split()]
    dependencies, project, *more = installs
    assert more == []
    for option in ("--no-deps", "--require-hashes", "--only-binary :all:", "-r requirements.lock"):
        assert option in dependencies
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(project.split())
    assert not {"-e", "--editable"} & set(project.split())


def test_the_base_is_of_one_version_that_the_project_runs_on() -> None:
    [base] = [text for _, text in instructions("ARG")]
    version = re.fullmatch(r"BASE=docker\.io/library/python:(\d+\.\d+\.\d+)-slim-\w+", base)
    assert version
    assert version[1] in SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert {text.split()[0] for _, text in instructions("FROM")} == {"${BASE}"}
    assert instructions("ADD") == []


def test_it_runs_as_a_number_that_is_not_root_in_an_empty_folder() -> None:
    """Kubernetes can tell that a number is not root's, and not that a name is; what lies in the folder is imported."""
    last_stage = instructions()[max(i for i, (kind, _) in enumerate(instructions()) if kind == "FROM") :]
    [user] = [text for kind, text in last_stage if kind == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    [folder] = [text for kind, text in last_stage if kind == "WORKDIR"]
    assert any(f"install --directory {folder} " in text for kind, text in last_stage if kind == "RUN")
    assert not [text for kind, text in last_stage if kind == "COPY" and text.split()[-1].startswith(folder)]


def test_it_starts_and_checks_the_code_server_with_installed_programs() -> None:
    programs = {script.name for script in entry_points(group="console_scripts")}
    [start], [check] = instructions("CMD"), instructions("HEALTHCHECK")
    started: list[str] = json.loads(start[1])
    checked: list[str] = json.loads(check[1].partition("CMD ")[2])
    assert {started[0], checked[0]} <= programs
    assert started[started.index("--port") + 1] == checked[checked.index("-p") + 1]
    assert started[started.index("--module-name") + 1] == PYPROJECT["tool"]["dagster"]["module_name"]


def test_the_built_image_loads_the_definitions(tmp_path: Path) -> None:
    if not (builder := os.environ.get("IMAGE_BUILDER")):
        pytest.skip("IMAGE_BUILDER is not set: the command that builds images here, as in 'docker build'")
    build = [*shlex.split(builder), "--file"]
    subprocess.run([*build, str(DOCKERFILE), "--tag", TAG, "."], cwd=ROOT, check=True)
    load = "dagster definitions validate --module-name photo_popularity.definitions"
    (tmp_path / "Dockerfile").write_text(f"FROM {TAG}\nRUN DAGSTER_HOME=/tmp {load}\n")
    subprocess.run([*build, str(tmp_path / "Dockerfile"), str(tmp_path)], check=True)
