"""What the project promises about its packaging: four packages, two locks, one command list, one code location."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PACKAGES = {"photo_popularity", "assets", "resources", "partitions"}
RUN_LOCK, TEST_LOCK = ROOT / "requirements.lock", ROOT / "requirements-test.lock"
IMAGE_LOCK = ROOT / "deploy/image/requirements.lock"
LOCKS = pytest.mark.parametrize("lock", [RUN_LOCK, TEST_LOCK, IMAGE_LOCK], ids=["run", "test", "image"])
RUN_EXTRAS = {"onnx", "postgres", "s3"}
# the standard library, and what it has since Python 3.14
STANDARD = sys.stdlib_module_names | {"compression"}


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared(*, extras: set[str], groups: set[str]) -> list[Requirement]:
    project = pyproject()["project"]
    texts = list(project["dependencies"])
    texts += [text for extra in extras for text in project["optional-dependencies"][extra]]
    texts += [text for group in groups for text in pyproject()["dependency-groups"][group]]
    return [Requirement(text) for text in texts]


def all_declared() -> list[Requirement]:
    return declared(
        extras=set(pyproject()["project"]["optional-dependencies"]), groups={"bench", "build", "test"}
    )


def entries(lock: Path) -> list[str]:
    """The lock's entries, each with its continuation lines joined and its comments dropped."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", "").splitlines()


def pins(lock: Path) -> dict[str, str]:
    found = (re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry) for entry in entries(lock))
    return {canonicalize_name(match[1]): match[2] for match in found if match}


def own_files() -> Iterator[str]:
    for package in sorted(PACKAGES):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The project's wheel, built from a copy, for a build leaves folders behind."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "assets_of_a_stranger").mkdir()
    (copy / "assets_of_a_stranger" / "__init__.py").touch()
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True)
    return zipfile.ZipFile(next((copy / "dist").glob("*.whl")))


def test_the_wheel_holds_exactly_the_four_packages(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_every_file_of_the_four_packages(wheel: zipfile.ZipFile) -> None:
    """A folder without __init__.py, or data that nobody declared, works in a checkout and is lost once installed."""
    assert set(own_files()) - set(wheel.namelist()) == set()


def test_the_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    texts = {Path(name).name: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    assert "photo-popularity = photo_popularity.cli:main" in texts["entry_points.txt"]
    assert texts["LICENSE"].startswith("MIT License")


def test_no_other_installed_distribution_provides_one_of_the_four_names() -> None:
    """`assets` and `resources` are common names: a stranger's package would be imported in place of ours."""
    try:
        distribution("photo-popularity")
    except PackageNotFoundError:
        pytest.skip("photo-popularity is not installed in this environment")
    providers = packages_distributions()
    shared = {name: providers[name] for name in PACKAGES if set(providers[name]) != {"photo-popularity"}}
    assert shared == {}


@LOCKS
def test_a_lock_pins_every_package_with_a_hash(lock: Path) -> None:
    assert len(entries(lock)) > 50
    entry_with_hash = re.compile(r"[\w.-]+==[^\s;]+ *(; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+ *")
    wrong = [entry for entry in entries(lock) if not entry_with_hash.fullmatch(entry)]
    assert wrong == []


@LOCKS
def test_a_lock_names_no_host_and_no_path(lock: Path) -> None:
    named = re.findall(r".*(?:[:/]/|(?:^|\s)/|index-url|find-links|trusted-host).*", lock.read_text())
    assert named == []


@pytest.mark.parametrize(
    ("lock", "extras", "groups"),
    [
        (RUN_LOCK, RUN_EXTRAS, {"build"}),
        (TEST_LOCK, {"kubernetes", *RUN_EXTRAS}, {"build", "test"}),
        (IMAGE_LOCK, {"kubernetes", *RUN_EXTRAS}, {"build"}),
    ],
    ids=["run", "test", "image"],
)
def test_a_lock_pins_what_the_project_declares(lock: Path, extras: set[str], groups: set[str]) -> None:
    """A dependency added or moved in pyproject.toml without `make lock` would be missing on a fresh machine."""
    pinned = pins(lock)
    requirements = declared(extras=extras, groups=groups)
    versions = [
        (requirement, pinned.get(canonicalize_name(requirement.name))) for requirement in requirements
    ]
    wrong = [
        f"{requirement} is {version or 'missing'}"
        for requirement, version in versions
        if version is None or not requirement.specifier.contains(version)
    ]
    assert wrong == []


def test_tests_run_with_the_very_packages_that_the_program_runs_with() -> None:
    tested = pins(TEST_LOCK)
    for lock in (RUN_LOCK, IMAGE_LOCK):
        assert {name: tested.get(name) for name in pins(lock)} == pins(lock)


def test_all_parts_of_dagster_are_of_one_release() -> None:
    versions = {name: Version(pin) for name, pin in pins(TEST_LOCK).items() if name.startswith("dagster")}
    assert len(versions) >= 8
    assert {version.release[-1] for version in versions.values()} == {versions["dagster"].release[-1]}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def undeclared(folders: set[str], requirements: list[Requirement]) -> dict[str, str]:
    """Imports of distributions that are not among the requirements, each with a file that has it."""
    known = {canonicalize_name(requirement.name) for requirement in requirements}
    providers = packages_distributions()
    found: dict[str, str] = {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for name in set(imported(path)) - PACKAGES - {"benchmarks", "tests"} - STANDARD:
            # what is declared and not installed has no provider
            if not known & {canonicalize_name(provider) for provider in providers.get(name, [name])}:
                found[name] = str(path.relative_to(ROOT))
    return found


def test_the_program_imports_only_what_it_declares() -> None:
    """What another package happens to bring today may be gone with its next release."""
    extras = set(pyproject()["project"]["optional-dependencies"])
    assert undeclared(PACKAGES, declared(extras=extras, groups=set())) == {}


def test_tests_import_only_what_is_declared() -> None:
    assert undeclared({"benchmarks", "tests"}, all_declared()) == {}


def test_every_module_beside_the_domain_has_its_place_in_the_import_contract() -> None:
    [layers] = [
        contract["layers"]
        for contract in pyproject()["tool"]["importlinter"]["contracts"]
        if "layers" in contract
    ]
    placed = set(re.findall(r"photo_popularity\.(\w+)", " ".join(layers)))
    modules = {path.stem for path in (ROOT / "photo_popularity").glob("*.py")} - {"__init__"}
    assert modules - placed == set()


def test_every_place_that_names_the_code_location_names_the_same() -> None:
    tool = pyproject()["tool"]
    [loaded] = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    expected = ("photo_popularity.definitions", "photo_popularity")
    dagster, project = tool["dagster"], tool["dg"]["project"]
    assert (dagster["module_name"], dagster["code_location_name"]) == expected
    assert (project["code_location_target_module"], project["code_location_name"]) == expected
    assert tuple(loaded["python_module"].values()) == expected


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder_with_spaces(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with spaces"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def test_make_alone_lists_every_command_on_a_line_of_its_own(folder_with_spaces: Path) -> None:
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    done = make(folder_with_spaces)
    listed = re.findall(r"^  make ([a-z-]+) +\S.*$", done.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(phony.split())
    assert len(done.stdout.splitlines()) == len(listed)
    assert not (folder_with_spaces / ".venv").exists()


def test_make_says_in_a_sentence_that_no_suitable_python_is_there(folder_with_spaces: Path) -> None:
    done = make(folder_with_spaces, ".venv/bin/python", "PYTHONS=python-that-is-not-there")
    assert done.returncode != 0
    assert "No Python from 3.11 to 3.14 was found (tried: python-that-is-not-there)" in done.stdout
