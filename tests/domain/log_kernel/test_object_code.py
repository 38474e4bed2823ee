"""The kernel's machine code: compiled once, loaded without numba, never missed for a result, never a reason to fail."""

from __future__ import annotations

import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import photo_popularity
from photo_popularity.domain.log_kernel import object_code
from tests.mutated_lines import mutated_lines

PACKAGE = Path(photo_popularity.__file__).parent
KERNEL = Path("photo_popularity/domain/log_kernel")
NOWHERE = "/nonexistent"
LOG = b"\n".join(itertools.islice(mutated_lines(3), 400))

SCAN = """
import io, json, sys
from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.domain.log_kernel.object_code import NoKernel, load
from photo_popularity.domain.log_scanner import scan_log

try:
    load()
    why = ""
except NoKernel as reason:
    why = str(reason)
scan = scan_log(io.BytesIO(sys.stdin.buffer.read()), rules=BehaviorRules(), salt="s", salt_version="1")
result = {name: str(getattr(scan, name)) for name in ("lines", "good", "first_moment", "last_moment")}
result |= {"signals": scan.signals.to_pylist(), "quarantined": scan.quarantined.to_pylist()}
json.dump({"why": why, "numba": "numba" in sys.modules, "result": result}, sys.stdout, default=str)
"""
FILE_NAME = """
from photo_popularity.domain.log_kernel import object_code

print(object_code._file_name("x86-64"))
"""


@pytest.fixture(scope="module")
def kept() -> Path:
    """The file that the kernel of this source lies in."""
    object_code.load()
    names = map(object_code._file_name, object_code._levels())
    places = (folder / name for name in names for folder in object_code._folders())
    return next(place for place in places if place.is_file())


@pytest.fixture(scope="module")
def expected(kept: Path) -> dict[str, Any]:
    """What the kernel makes of the log."""
    done = scan_apart(PACKAGE.parent, XDG_CACHE_HOME=str(kept.parents[1]))
    assert done["why"] == ""
    return dict(done["result"])


def run(program: str, *paths: Path, given: bytes = b"", **variables: str) -> str:
    """What a program prints that finds modules in these folders first."""
    found = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=given,
        capture_output=True,
        check=False,
        cwd=paths[-1],
        env=os.environ | found | variables,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def scan_apart(*paths: Path, before: str = "", **variables: str) -> dict[str, Any]:
    return dict(json.loads(run(before + SCAN, *paths, given=LOG, **variables)))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of the package beside which no kernel can be kept."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "copied" / "photo_popularity", ignore=ignored)
    (tmp_path / "copied" / KERNEL / "__pycache__").touch()
    return tmp_path / "copied"


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., Path]:
    """A folder that hides some modules, also from processes that a process starts."""

    def hide(*modules: str) -> Path:
        folder = tmp_path / "hiding" / "-".join(modules)
        folder.mkdir(parents=True)
        for module in modules:
            (folder / f"{module}.py").write_text(f"raise ImportError('{module} is hidden')\n")
        return folder

    return hide


def everything_below(*folders: Path) -> dict[str, tuple[int, int]]:
    files = [path for folder in folders for path in folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_results_are_the_same_without_llvmlite_and_numba(
    without: Callable[..., Path], expected: dict[str, Any]
) -> None:
    done = scan_apart(without("llvmlite", "numba"), PACKAGE.parent)
    assert done["why"] == "llvmlite is not installed (llvmlite is hidden)"
    assert done["result"] == expected


def test_results_are_the_same_where_nothing_can_be_compiled(
    copied: Path, without: Callable[..., Path], expected: dict[str, Any]
) -> None:
    done = scan_apart(without("numba"), copied, XDG_CACHE_HOME=NOWHERE)
    assert done["why"] == "the kernel could not be compiled: ImportError: numba is hidden"
    assert done["result"] == expected


def test_a_kept_kernel_is_loaded_without_numba_and_nothing_is_written(
    copied: Path, without: Callable[..., Path], kept: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    """Images are read-only, and numba takes four times as long to import as the kernel to load."""
    folder = tmp_path / "cache/photo-popularity"
    folder.mkdir(parents=True)
    shutil.copy(kept, folder)
    hidden = without("numba")
    folder.chmod(0o555)
    before = everything_below(tmp_path)
    done = scan_apart(hidden, copied, XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=NOWHERE)
    assert done == {"why": "", "numba": False, "result": expected}
    assert everything_below(tmp_path) == before
    assert not Path(NOWHERE).exists()


def test_a_kernel_is_compiled_once_and_kept_in_the_first_folder_that_takes_it(
    copied: Path, without: Callable[..., Path], expected: dict[str, Any], tmp_path: Path
) -> None:
    places = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": NOWHERE}
    assert scan_apart(copied, **places) == {"why": "", "numba": False, "result": expected}
    (compiled,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert compiled.parent.name == "photo-popularity"
    before = everything_below(tmp_path / "cache", copied)
    assert scan_apart(without("numba"), copied, **places)["why"] == ""
    assert everything_below(tmp_path / "cache", copied) == before


def broken(code: bytes) -> dict[str, bytes]:
    name, _, object_file = code.partition(b"\n")
    return {
        "empty": b"",
        "cut in the name": code[:10],
        "cut in the header": code[: len(name) + 30],
        "half": code[: len(code) // 2],
        "cut at the end": code[:-1],
        "half zeros": code[: len(code) // 2] + bytes(len(code) - len(code) // 2),
        "zeros": bytes(len(code)),
        "text": b"not found\n" * 1_000,
        "another function": b"another\n" + object_file,
        "one bit": code[:9_000] + bytes([code[9_000] ^ 1]) + code[9_001:],
    }


@pytest.mark.parametrize("how", broken(bytes(10_000)))
def test_a_broken_kernel_file_never_ends_the_process(
    how: str,
    copied: Path,
    without: Callable[..., Path],
    kept: Path,
    expected: dict[str, Any],
    tmp_path: Path,
) -> None:
    """A power cut leaves such files, and the process would die of a signal at every start."""
    folder = tmp_path / "cache/photo-popularity"
    folder.mkdir(parents=True)
    (folder / kept.name).write_bytes(broken(kept.read_bytes())[how])
    done = scan_apart(without("numba"), copied, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done["why"], "it was loaded"
    assert done["result"] == expected


def test_a_cache_folder_that_cannot_be_looked_into_is_passed_by(
    copied: Path, without: Callable[..., Path], expected: dict[str, Any]
) -> None:
    """A container often runs as a user who may not enter the HOME it was given; a name too long fails like that."""
    too_long = "/" + "x" * 300
    hidden = without("numba")
    for variables in ({"XDG_CACHE_HOME": too_long}, {"XDG_CACHE_HOME": "", "HOME": too_long}):
        assert scan_apart(hidden, copied, **variables)["result"] == expected


def test_a_user_without_a_home_has_the_same_results(
    copied: Path, without: Callable[..., Path], expected: dict[str, Any]
) -> None:
    """A cluster may run a container as a user that no file of it names."""
    nobody = """
import os, pwd

del os.environ["HOME"]
def getpwuid(uid):
    raise KeyError(uid)
pwd.getpwuid = getpwuid
"""
    done = scan_apart(without("numba"), copied, before=nobody, HOME=NOWHERE, XDG_CACHE_HOME="")
    assert done["result"] == expected


def test_another_source_or_another_numba_has_another_file(copied: Path, tmp_path: Path) -> None:
    """Or else the code of an older source would be loaded."""
    same = run(FILE_NAME, copied)
    assert same == run(FILE_NAME, PACKAGE.parent)
    (copied / "photo_popularity/domain/robots.py").write_text("")
    assert run(FILE_NAME, copied) == same
    other_numba = tmp_path / "packages"
    (other_numba / "numba-0.0.1.dist-info").mkdir(parents=True)
    (other_numba / "numba-0.0.1.dist-info/METADATA").write_text("Name: numba\nVersion: 0.0.1\n")
    names = {same, run(FILE_NAME, other_numba, copied)}
    for module in ("fields", "layout", "object_code"):
        with (copied / KERNEL / f"{module}.py").open("a") as source:
            source.write("# changed\n")
        names.add(run(FILE_NAME, copied))
    assert len(names) == 5


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other CPUs have no such levels")
def test_an_image_has_code_for_every_node_and_a_node_takes_the_best_it_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(level: str) -> bytes:
        return f"code for {level}".encode()

    monkeypatch.setattr(object_code, "compile_apart", compiled)
    monkeypatch.setattr(object_code, "_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(object_code, "_loaded", lambda code: code.decode())
    monkeypatch.setattr(object_code, "_load_once", object_code._load_once.__wrapped__)
    monkeypatch.setattr(sys, "argv", ["object_code", "--every-level"])
    object_code.main()
    assert len(list(tmp_path.iterdir())) == len(object_code._LEVELS)
    monkeypatch.setattr(object_code, "compile_apart", pytest.fail)
    able = object_code._levels()
    assert str(object_code.load()) == f"code for {able[0]}"
    best = tmp_path / object_code._file_name(able[0])
    best.unlink()
    assert str(object_code.load()) == f"code for {able[1]}"
    # one that is damaged is made anew
    best.write_bytes(b"damaged")
    monkeypatch.setattr(object_code, "compile_apart", compiled)
    assert str(object_code.load()) == f"code for {able[0]}"
    monkeypatch.setattr(object_code, "compile_apart", pytest.fail)
    assert str(object_code.load()) == f"code for {able[0]}"


def test_an_image_that_cannot_keep_the_kernel_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(object_code, "compile_apart", lambda level: b"code")
    monkeypatch.setattr(object_code, "_folders", lambda: iter([tmp_path / "file"]))
    monkeypatch.setattr(sys, "argv", ["object_code", "--every-level"])
    with pytest.raises(SystemExit, match="no folder to keep it in can be written"):
        object_code.main()
    monkeypatch.setattr(sys, "argv", ["object_code", "--all-levels"])
    with pytest.raises(SystemExit):
        object_code.main()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other CPUs have no such levels")
@pytest.mark.parametrize(
    ("lacks", "levels"),
    [
        ("", ["x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64"]),
        ("avx512vbmi", ["x86-64-v3", "x86-64-v2", "x86-64"]),
        ("movbe", ["x86-64-v2", "x86-64"]),
        ("popcnt", ["x86-64"]),
        ("sse2", []),
    ],
)
def test_a_cpu_of_a_level_has_the_instructions_of_all_levels_below(
    lacks: str, levels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hypervisors hide single instructions."""
    from llvmlite import binding

    features = {name: name != lacks for needed in object_code._LEVELS.values() for name in needed}
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
    assert object_code._levels() == levels
