"""GNU Make and DVC on the same edit: for each text its words are counted, and then it is told whether there are many.

Make has a rule a file and step, DVC the directory as the one dependency of a stage a step: that is how each is made to
be used. Every time is that of a whole process, with its start; each command notes the file that it works on in a log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.incremental.pipeline import STEPS, timed
from benchmarks.incremental.texts import Texts
from tests.text_pipeline import MANY

CHANGED, ROUNDS, CORES = 10, 3, 2
LOG = "processed.log"
DVC_REQUIREMENT = "dvc>=3.67,<4"
NO_DVC = "not found; --with-dvc installs it for the benchmark alone"

MAKE_RECIPES = f"""\
define word_counts
@echo "word_counts $<" >> {LOG}
@wc -w < $< > $@
endef
define long_texts
@echo "long_texts $<" >> {LOG}
@[ $$(cat $<) -ge {MANY} ] && echo true > $@ || echo false > $@
endef
.PHONY: all
"""

DVC_STEP = f"""\
import pathlib, shutil, sys

step, given, made = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
shutil.rmtree(made, ignore_errors=True)
with open("{LOG}", "a") as log:
    for file in sorted(path for path in given.rglob("*") if path.is_file()):
        text = file.read_text()
        found = len(text.split()) if step == "word_counts" else int(text) >= {MANY}
        target = made / file.relative_to(given)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{{found}}\\n")
        print(step, file, file=log)
"""


@dataclass(frozen=True)
class Compared:
    """What another tool took for N files: seconds to start, to find nothing to do, and for the changed ones.

    `processed` tells how many files each step worked on after the change. Without `problem`, everything was measured.
    """

    tool: str
    files: int
    start_seconds: float = 0.0
    idle_seconds: float = 0.0
    changed_seconds: float = 0.0
    processed: tuple[int, ...] = ()
    problem: str = ""


def start_of_this() -> float:
    """How long a process of the project takes until it could look at the files."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", "import tests.text_pipeline, photo_popularity.definitions"]
    return median(timed(lambda: _run(command, root))[0] for _ in range(ROUNDS))


def compare_make(folder: Path, files: int) -> Compared:
    """GNU Make, started as if everything had just been built."""
    program = shutil.which("make")
    if program is None:
        return Compared("GNU Make", files, problem="make is not on PATH")
    texts = Texts(folder / "texts", aged=False)
    texts.write(range(files))
    made: dict[str, Callable[[int], str]] = {
        STEPS[0]: str,
        STEPS[1]: lambda words: str(words >= MANY).lower(),
    }
    # in this order, for what is made has to be younger than what it is made from
    for step, content in made.items():
        for place in range(files):
            target = folder / step / texts.name(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content(texts.words(place)) + "\n")
    with (folder / "Makefile").open("w") as makefile:
        makefile.write(MAKE_RECIPES)
        for given, step in (("texts", STEPS[0]), STEPS):
            for name in map(texts.name, range(files)):
                makefile.write(f"{step}/{name}: {given}/{name}\n\t$({step})\n")
                if step == STEPS[-1]:
                    makefile.write(f"all: {step}/{name}\n")
    command = [program, "--silent", f"--jobs={CORES}", "all"]
    return _measured("GNU Make", texts, files, start=[program, "--version"], command=command, folder=folder)


def compare_dvc(folder: Path, files: int, program: str | None) -> Compared:
    """DVC in a new repository; its first build is not counted."""
    git = shutil.which("git")
    if program is None or git is None:
        return Compared("DVC", files, problem=NO_DVC if program is None else "git is not on PATH")
    texts = Texts(folder / "texts", aged=False)
    texts.write(range(files))
    (folder / "step.py").write_text(DVC_STEP)
    stages = "".join(
        f"  {step}:\n    cmd: '\"{sys.executable}\" -S step.py {step} {given} {step}'\n"
        f"    deps: [{given}, step.py]\n    outs: [{step}]\n"
        for given, step in (("texts", STEPS[0]), STEPS)
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    surroundings = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / ".site-cache"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder / ".dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / ".dvc-system"),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    for command in ([git, "init", "--quiet"], [program, "init", "--quiet"], [program, "repro", "--quiet"]):
        _run(command, folder, surroundings)
    return _measured(
        "DVC",
        texts,
        files,
        start=[program, "--version"],
        command=[program, "repro", "--quiet"],
        folder=folder,
        surroundings=surroundings,
    )


def _measured(
    tool: str,
    texts: Texts,
    files: int,
    *,
    start: Sequence[str],
    command: Sequence[str],
    folder: Path,
    surroundings: Mapping[str, str] | None = None,
) -> Compared:
    log = folder / LOG
    log.write_text("")
    _run(command, folder, surroundings)
    idle = [timed(lambda: _run(command, folder, surroundings))[0] for _ in range(ROUNDS)]
    assert not log.read_text(), f"{tool} has worked though nothing had changed"
    changed = []
    for _ in range(ROUNDS):
        log.write_text("")
        texts.edit(min(CHANGED, files), files)
        changed.append(timed(lambda: _run(command, folder, surroundings))[0])
    lines = log.read_text().splitlines()
    return Compared(
        tool,
        files,
        start_seconds=median(timed(lambda: _run(start, folder, surroundings))[0] for _ in range(ROUNDS)),
        idle_seconds=median(idle),
        changed_seconds=median(changed),
        processed=tuple(sum(line.startswith(f"{step} ") for line in lines) for step in STEPS),
    )


def find_dvc(*, install: bool) -> str | None:
    """DVC on PATH, or in an environment of the benchmark's own, which is made on demand."""
    own = _cache() / "dvc" / "bin" / "dvc"
    found = shutil.which("dvc") or (str(own) if own.exists() else None)
    if found or not install:
        return found
    environment = own.parents[1]
    _run([sys.executable, "-m", "venv", str(environment)], Path.cwd())
    _run(
        [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", DVC_REQUIREMENT], Path.cwd()
    )
    return str(own)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo-popularity-benchmarks"


def _run(command: Sequence[str], folder: Path, surroundings: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}")
