"""The workflow of those who copy this project: what it runs is there, and what it lacks it says."""

from __future__ import annotations

import os
import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from photo_popularity import deployment
from photo_popularity.deployment.__main__ import PARTS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
WORKFLOW = yaml.safe_load(TEXT)
# YAML 1.1 reads the key `on` as true
EVENTS = WORKFLOW[True]
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
SCRIPTS = [step["run"] for _, step in STEPS if "run" in step]
# what runs a job brings it along
OF_THE_RUNNER = {"docker", "git", "helm", "kubectl", "psql", "python3"}
SHELL = {"echo", "env", "exit", "mapfile", "printf", "sed", "set", "umask"}
USES_A_SECRET = ("staging", "remove-staging")


def words_of_commands() -> set[str]:
    """The first word of each command of all scripts, without the variables that are set before it."""
    found: set[str] = set()
    for script in SCRIPTS:
        for command in re.split(r"\n|\||&&|\$\(|(?<=\s)\(", script.replace("\\\n", " ")):
            text = re.sub(r"^\s*((\w+=\S*|else|then|do|elif)\s+)*", "", command)
            if match := re.match(r"(\.venv/bin/)?([a-z][\w-]*)(?=\s|$)", text):
                found.add(match[0])
    return found - {"if", "fi", "for", "done", "else"}


def test_it_runs_the_checks_the_tests_and_the_definitions() -> None:
    scripts = "\n".join(step["run"] for step in JOBS["checks"]["steps"] if "run" in step)
    assert "make check\nmake test\n" in scripts
    assert "dagster definitions validate --module-name photo_popularity.definitions" in scripts
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([\w-]+)", "\n".join(SCRIPTS))) <= set(targets)


def test_every_program_is_the_runners_or_installed_with_the_project() -> None:
    installed = {f".venv/bin/{script.name}" for script in entry_points(group="console_scripts")}
    # within the image, what calls it, and what is in the PATH after `make install`
    programs = {"dagster", "in_image", "python"}
    assert words_of_commands() <= {"make"} | OF_THE_RUNNER | SHELL | installed | programs
    assert ".venv/bin/dagster" in words_of_commands()


def test_what_is_deployed_is_there() -> None:
    deployed = "\n".join(step["run"] for name, step in STEPS if name == "staging" and "run" in step)
    if not (ROOT / "deploy" / "kubernetes").is_dir():
        pytest.skip("deploy/kubernetes is not there: nothing to deploy to a cluster")
    printed, files = '"$RUNNER_TEMP/values"', re.findall(r"--values (\S+)", deployed)
    assert printed in files
    assert f"deployment values > {printed}" in deployed
    assert all((ROOT / file).is_file() for file in files if file != printed)
    asked = set(re.findall(r"python -m (\S+) (\S+)", "\n".join(SCRIPTS)))
    assert {module for module, _ in asked} == {deployment.__name__}
    assert {part for _, part in asked} == PARTS.keys() - {"policies", "owners"}


def test_no_job_has_a_permission_by_default() -> None:
    assert WORKFLOW["permissions"] == {}
    allowed = {
        "image": {"contents": "read", "packages": "write"},
        "staging": {"contents": "read", "packages": "read"},
    }
    for name, job in JOBS.items():
        assert job["permissions"] == allowed.get(name, {"contents": "read"}), name
    checkouts = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_each_action_is_of_one_version() -> None:
    used = [step["uses"] for _, step in STEPS if "uses" in step]
    assert [one for one in used if not re.fullmatch(r"actions/[\w-]+@(v\d+|[0-9a-f]{40})", one)] == []


def test_what_others_choose_never_becomes_part_of_a_script() -> None:
    """A branch may be named `$(curl …)`: names reach a script as variables alone."""
    assert [script for script in SCRIPTS if "${{" in script] == []


@pytest.mark.parametrize("name", USES_A_SECRET)
def test_a_job_with_a_secret_does_nothing_without_it(name: str) -> None:
    first, *others = JOBS[name]["steps"]
    assert "secrets." in str(first["env"])
    needs_it = {first["id"]}
    for step in others:
        assert needs_it.intersection(re.findall(r"(?<!!)\bsteps\.(\w+)\.", step["if"])), step
        needs_it.add(step.get("id", first["id"]))


def test_no_other_job_has_a_secret() -> None:
    assert {name for name, job in JOBS.items() if "secrets." in str(job).replace("steps.secrets.", "")} == {
        *USES_A_SECRET
    }
    # where protection rules can be set
    assert {name for name, job in JOBS.items() if job.get("environment") == "staging"} == {*USES_A_SECRET}
    # what a fork sends is a pull request
    events = {name: re.findall(r"github\.event_name == '(\w+)'", JOBS[name]["if"]) for name in USES_A_SECRET}
    assert events == {"staging": ["push"], "remove-staging": ["delete"]}


@pytest.mark.parametrize("missing", [None, "STAGING_KUBECONFIG", "STAGING_SECRETS"])
def test_a_missing_secret_is_told_in_a_notice(missing: str | None, tmp_path: Path) -> None:
    step = JOBS["staging"]["steps"][0]
    given = {
        "STAGING_KUBECONFIG": "a: kubeconfig\n",
        "STAGING_SECRETS": "# the owner\n\nPHOTO_POPULARITY_CATALOG=postgresql://owner\nAWS_ACCESS_KEY_ID=key\n",
        "STAGING_REGISTRY": '{"auths": {}}',
        "STAGING_SETTINGS": "PHOTO_POPULARITY_STORAGE=s3://data/results",
    }
    assert step["env"].keys() == given.keys()
    if missing:
        given[missing] = ""
    files = {"GITHUB_ENV": str(tmp_path / "env"), "GITHUB_OUTPUT": str(tmp_path / "output")}
    variables = {**os.environ, **files, **given, "RUNNER_TEMP": str(tmp_path), "BRANCH": "Feature/One"}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], env=variables, capture_output=True, text=True, check=True
    )
    if missing:
        assert done.stdout.startswith("::notice ")
        assert missing in done.stdout
        assert not (tmp_path / "output").exists()
        return
    assert (tmp_path / "output").read_text() == "found=true\n"
    assert done.stdout == ""
    for name in ("kubeconfig", "registry", "variables"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert (tmp_path / "variables").read_text().splitlines() == [
        "PHOTO_POPULARITY_STORAGE=s3://data/results",
        "PHOTO_POPULARITY_CATALOG=postgresql://owner",
        "AWS_ACCESS_KEY_ID=key",
        "PHOTO_POPULARITY_ENV=staging",
        "PHOTO_POPULARITY_USER=Feature/One",
    ]


@pytest.mark.parametrize(("megabytes", "status"), [(1500, 0), (1501, 1)])
def test_an_image_that_is_too_large_is_not_pushed(megabytes: int, status: int, tmp_path: Path) -> None:
    names = [step.get("name", "") for step in JOBS["image"]["steps"]]
    [step] = [step for step in JOBS["image"]["steps"] if "MEGABYTES_AT_MOST" in step.get("env", {})]
    assert names.index("build") < names.index(step["name"]) < names.index("push")
    docker = tmp_path / "docker"
    docker.write_text(f"#!/bin/sh\n[ $5 = registry/me:1 ] && printf '{megabytes}\\t/\\n'\n")
    docker.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.defpath}", "IMAGE": "registry/Me:1", **step["env"]}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]], env=variables, capture_output=True, text=True, check=False
    )
    told, *error = done.stdout.splitlines()
    assert (done.returncode, told) == (status, f"the image has {megabytes} MB")
    assert [line.split(" MB")[0] for line in error] == [
        "::error title=The image is too large::it has 1501"
    ] * status


def test_an_environment_goes_with_its_branch() -> None:
    """A removal waits for a deployment at work, and a deployment that comes later asks for the branch before and after it."""
    assert EVENTS.keys() == {"push", "pull_request", "delete"}
    assert "github.event.ref_type == 'branch'" in JOBS["remove-staging"]["if"]
    groups = {name: JOBS[name]["concurrency"]["group"] for name in USES_A_SECRET}
    assert groups == {
        "staging": "staging-${{ github.ref_name }}",
        "remove-staging": "staging-${{ github.event.ref }}",
    }
    assert not any(JOBS[name]["concurrency"].get("cancel-in-progress") for name in USES_A_SECRET)
    steps = [step.get("id") or step.get("name") for step in JOBS["staging"]["steps"]]
    assert steps.index("before") < steps.index("deploy") < steps.index("branch") < steps.index("remove")


def test_a_removal_needs_nothing_that_may_not_be_there() -> None:
    """The default branch's newest commit has no image before its tests are through."""
    job = JOBS["remove-staging"]
    assert "needs" not in job
    assert not [step for step in job["steps"] if "docker" in step.get("run", "")]
    *_, last = job["steps"]
    assert last["if"] == "${{ !cancelled() && steps.install.outcome == 'success' }}"
    # what is not removed yet can be told by its namespace
    order = ["helm uninstall", "delete jobs", "deployment remove", "delete namespace"]
    found = [last["run"].index(what) for what in order]
    assert found == sorted(found)


def test_a_pull_request_is_checked_once_though_its_own_repository_be_a_fork() -> None:
    """A copy made by "Fork" says of all its own pull requests that they come from a fork; `delete` has none, and no checks."""
    assert (
        JOBS["checks"]["if"].split()
        == (
            "github.event_name == 'push' || github.event_name == 'pull_request'"
            " && github.event.pull_request.head.repo.full_name != github.repository"
        ).split()
    )
    assert JOBS["image"]["needs"] == "checks"
    assert JOBS["staging"]["needs"] == "image"


def test_each_commit_of_the_default_branch_is_checked_to_the_end() -> None:
    default = "github.ref_name == github.event.repository.default_branch"
    assert JOBS["checks"]["concurrency"] == {
        "group": f"checks-${{{{ github.event_name }}}}-${{{{ {default} && github.sha || github.ref }}}}",
        "cancel-in-progress": True,
    }


def test_packages_are_kept_from_run_to_run_as_long_as_the_lock_stays() -> None:
    pythons = [(name, step["with"]) for name, step in STEPS if "setup-python@" in step.get("uses", "")]
    assert {name: its["cache-dependency-path"] for name, its in pythons} == {
        "checks": "requirements-test.lock",
        "staging": "requirements.lock",
        "remove-staging": "requirements.lock",
    }
    assert all(its["cache"] == "pip" for _, its in pythons)


def test_the_environment_is_named_without_an_installed_package(tmp_path: Path) -> None:
    """So that nothing is installed where there is nothing to do, and two branches never share one."""
    step = next(step for step in JOBS["remove-staging"]["steps"] if step.get("name", "").startswith("name "))
    names = []
    for branch in ("Feature/One", "feature/one"):
        kept = tmp_path / "env"
        kept.unlink(missing_ok=True)
        bare = {"PATH": os.defpath, "BRANCH": branch, "GITHUB_ENV": str(kept)}
        subprocess.run(["bash", "-e", "-c", step["run"]], cwd=ROOT, env=bare, check=True)
        names.append(kept.read_text().strip())
    assert names[0] != names[1]
    assert all(re.fullmatch(r"NAMESPACE=photo-popularity-staging-[a-z0-9-]{1,38}", name) for name in names)
