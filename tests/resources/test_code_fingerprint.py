"""What a step's code means: an edit that changes results moves the steps that reach it, any other edit moves none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from assets.pipeline_asset import CODE
from resources.code_fingerprint import Place, SourceTree

CHECKOUT = Path(__file__).parents[2]

Write = Callable[[str, str], None]


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    return SourceTree(("ours",), results_free=("ours.pictures",), root=tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a module of the package `ours`."""

    def into(module: str, text: str) -> None:
        path = tmp_path / "ours" / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    into("__init__", "")
    return into


BEFORE = """
from ours.helper import helped

LIMIT = 3

def step(x):
    return helped(x) + LIMIT
"""


@pytest.mark.parametrize(
    "after",
    [
        BEFORE + "# a comment\n",
        BEFORE.replace("def step(x):", 'def step(x: int) -> "int":\n    """Says what it does."""'),
        BEFORE.replace("helped(x) + LIMIT", "(\n        helped(x)\n        + LIMIT\n    )"),
        BEFORE.replace("LIMIT = 3", "LIMIT: int = 3"),
        BEFORE.replace("def step", "def other(x):\n    return LIMIT + 1\n\n@decorated(group='x')\ndef step"),
        BEFORE.replace("from ours", "from __future__ import annotations\nfrom ours"),
        BEFORE.replace("from ours.helper import helped", "from ours.helper import helped as helped"),
    ],
)
def test_what_changes_no_result_moves_nothing(tree: SourceTree, write: Write, after: str) -> None:
    write("helper", "def helped(x):\n    return x\n")
    write("step", BEFORE)
    before = tree.fingerprint("ours.step", "step")
    write("step", after)
    assert SourceTree(("ours",), root=tree.root).fingerprint("ours.step", "step") == before


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("step", BEFORE.replace("LIMIT = 3", "LIMIT = 4")),
        ("step", BEFORE.replace("LIMIT = 3", "try:\n    LIMIT = 3\nexcept ImportError:\n    LIMIT = 5")),
        ("step", BEFORE.replace(" + LIMIT", " - LIMIT")),
        ("step", BEFORE + "LIMIT += 1\n"),
        ("helper", "def helped(x):\n    return x + 1\n"),
        ("helper", "from ours.far import far\n\ndef helped(x):\n    return far(x)\n"),
    ],
)
def test_what_changes_a_result_moves_it(tree: SourceTree, write: Write, module: str, text: str) -> None:
    write("far", "def far(x):\n    return x\n")
    write("helper", "def helped(x):\n    return x\n")
    write("step", BEFORE)
    before = tree.fingerprint("ours.step", "step")
    write(module, text)
    assert SourceTree(("ours",), root=tree.root).fingerprint("ours.step", "step") != before


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("step", "from ours import helper\ndef step(x):\n    return helper.helped(x)\n"),
        ("step", "import ours.helper\ndef step(x):\n    return ours.helper.helped(x)\n"),
        ("step", "import ours.helper as h\ndef step(x):\n    return h.helped(x)\n"),
        ("step", "def step(x):\n    from ours.helper import helped\n    return helped(x)\n"),
        ("step", "from . import helper as h\ndef step(x):\n    return h.helped(x)\n"),
        ("step", "from .helper import helped as h\nTABLE = {'a': h}\ndef step(x):\n    return TABLE['a'](x)\n"),
        ("step", "from ours.helper import helped\nTABLE = {}\nTABLE['a'] = helped\ndef step(x):\n    return TABLE['a'](x)\n"),
        ("step", "from ours import helper\ndef step(x):\n    return getattr(helper, 'hel' + 'ped')(x)\n"),
        ("step", "from ours import passed_on\ndef step(x):\n    return passed_on.helped(x)\n"),
        ("step", "import ours.helper\nclass Steps(ours.helper.Base):\n    pass\ndef step(x):\n    return Steps().go(x)\n"),
        ("step", "from ours.helper import helped\nclass Way:\n    def go(self, x):\n        return helped(x)\ndef step(x):\n    return Way().go(x)\n"),
    ],
)  # fmt: skip
def test_a_helper_is_reached_however_it_is_called(
    tree: SourceTree, write: Write, module: str, text: str
) -> None:
    write("passed_on", "from ours.helper import helped\n")
    write(
        "helper",
        "def helped(x):\n    return x\n\nclass Base:\n    def go(self, x):\n        return helped(x)\n",
    )
    write(module, text)
    reached = tree.reached("ours.step", "step")
    assert Place("ours.helper", "helped") in reached or Place("ours.helper") in reached


def test_code_that_changes_no_result_and_code_of_others_is_not_reached(
    tree: SourceTree, write: Write
) -> None:
    write("pictures", "def draw(x):\n    return x\n")
    write("types", "class Shape:\n    pass\n")
    write(
        "step",
        "import json\nfrom typing import TYPE_CHECKING\nfrom ours import pictures\n"
        "if TYPE_CHECKING:\n    from ours.types import Shape\n"
        "def step(x: Shape) -> None:\n    pictures.draw(json.dumps(x))\n",
    )
    assert list(tree.reached("ours.step", "step")) == [Place("ours.step", "step")]


def test_a_variable_that_is_called_like_a_module_is_not_that_module(tree: SourceTree, write: Write) -> None:
    write("photos", "def read():\n    return 1\n")
    write("step", "from ours import photos\ndef step(photos):\n    return len(photos)\n")
    assert list(tree.reached("ours.step", "step")) == [Place("ours.step", "step")]


def test_functions_that_call_each_other_come_to_an_end(tree: SourceTree, write: Write) -> None:
    write("step", "def step(x):\n    return other(x)\n\ndef other(x):\n    return step(x - 1) if x else 0\n")
    assert {place.name for place in tree.reached("ours.step", "step")} == {"step", "other"}


def test_what_is_not_there_is_an_error(tree: SourceTree, write: Write) -> None:
    write("step", "def step(x):\n    return x\n")
    with pytest.raises(LookupError, match=r"ours\.step defines no walk"):
        tree.fingerprint("ours.step", "walk")


# every step of the pipeline, by the letters that the mutations below use
STEPS = {
    "M": "photo_metadata",
    "C": "photo_content",
    "S": "cat_dog_scores",
    "L": "log_signals",
    "B": "behavior_signals",
    "F": "photo_features",
    "X": "training_examples",
    "T": "popularity_model",
    "E": "model_evaluation",
    "P": "popularity_predictions",
}
DOMAIN = "photo_popularity/domain"
MUTATIONS = [
    # file, what stands there, what takes its place, the steps that are made again
    ("assets/photo_content.py", "limits.file_bytes + 1", "limits.file_bytes + 2", "C"),
    ("assets/log_signals.py", "scan.lines - scan.good,", "scan.lines,", "L"),
    ("assets/photo_features.py", "content=photo_content", "content=photo_content.copy()", "F"),
    ("assets/photo_metadata.py", "photo_database.read(", "photo_database.read_all(", "M"),
    ("assets/popularity_model.py", "SEED = ", "SEED = 1 + ", "TE"),
    ("partitions/days.py", "range((last - first).days + 1)", "range((last - first).days)", "B"),
    (f"{DOMAIN}/photo_decoding.py", ', "QOI")', ")", "CS"),
    (f"{DOMAIN}/photo_exif.py", "range(1900, 2101)", "range(1950, 2101)", "CS"),
    (f"{DOMAIN}/photos.py", "MEASUREMENT_DIGITS = 6", "MEASUREMENT_DIGITS = 5", "C"),
    (f"{DOMAIN}/classification.py", "SCORE_DIGITS = 6", "SCORE_DIGITS = 5", "S"),
    (f"{DOMAIN}/behavior_rules.py", "frozenset({200, 206, 304})", "frozenset({200, 206})", "L"),
    (f"{DOMAIN}/behavior_rules.py", '"likes", "downloads"', '"downloads", "likes"', "LB"),
    (f"{DOMAIN}/behavior.py", "pairs[1:] != pairs[:-1]", "pairs[1:] != pairs[1:]", "B"),
    (f"{DOMAIN}/log_kernel/times.py", "second <= 60", "second <= 61", "L"),
    (f"{DOMAIN}/access_log.py", "MAX_LINE_BYTES = 64 * 1024", "MAX_LINE_BYTES = 32 * 1024", "L"),
    (f"{DOMAIN}/robots.py", "MAX_AGENT_CHARACTERS = 1_000", "MAX_AGENT_CHARACTERS = 999", "L"),
    (f"{DOMAIN}/site_history.py", "(naive - first) / pd", "(naive + first) / pd", "F"),
    (f"{DOMAIN}/features.py", "OLDEST_AGE_DAYS = 28", "OLDEST_AGE_DAYS = 27", "F"),
    (f"{DOMAIN}/features.py", '(features["views_28d"] == 0)', '(features["views_28d"] < 1)', "TEP"),
    (f"{DOMAIN}/features.py", "BEHAVIOR_WINDOW_DAYS = 28", "BEHAVIOR_WINDOW_DAYS = 21", "FTEP"),
    (f"{DOMAIN}/popularity.py", '"learning_rate": 0.05', '"learning_rate": 0.06', "T"),
    (f"{DOMAIN}/popularity.py", "LABEL_DAYS = 7", "LABEL_DAYS = 6", "XTE"),
    (f"{DOMAIN}/popularity.py", 'how="left", validate', 'how="inner", validate', "X"),
    (f"{DOMAIN}/popularity.py", "model_version=model.version", "model_version='1'", "P"),
    (f"{DOMAIN}/evaluation.py", "RESAMPLES = 600", "RESAMPLES = 700", "TE"),
    (f"{DOMAIN}/evaluation.py", '"owner_mean", "age_mean"', '"age_mean"', "E"),
    (f"{DOMAIN}/evaluation.py", "MIN_EXAMPLES_TO_JUDGE = 30", "MIN_EXAMPLES_TO_JUDGE = 40", "E"),
    (f"{DOMAIN}/model_files.py", "UNIX = 3", "UNIX = 4", "TEP"),
    (f"{DOMAIN}/model_files.py", "TRUSTED_TYPES = frozenset(", "TRUSTED_TYPES = set(", "EP"),
    # no step
    (f"{DOMAIN}/plots.py", "DOTS_PER_INCH = 100", "DOTS_PER_INCH = 120", ""),
    (f"{DOMAIN}/behavior_rules.py", "import re\n", "import re\n\n# a comment\n", ""),
    (f"{DOMAIN}/features.py", "Whether a photo has had no view", "Whether no view was had", ""),
    (f"{DOMAIN}/popularity.py", "features: pd.DataFrame) -> pd.DataFrame:", "features: object) -> object:", ""),
    (f"{DOMAIN}/features.py", "def is_new(", "def unused() -> int:\n    return 1\n\n\ndef is_new(", ""),
    ("assets/behavior_signals.py", 'group="logs"', 'group="days"', ""),
    ("assets/photo_content.py", 'if row["problem"]:', 'if (  # it has one\n        row["problem"]):', ""),
    ("photo_popularity/text.py", "def counted", "def count_of", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our packages, to be mutated."""
    copy = tmp_path_factory.mktemp("checkout")
    for package in CODE.packages:
        shutil.copytree(CHECKOUT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def fingerprints(checkout: Path) -> dict[str, str]:
    tree = SourceTree(CODE.packages, results_free=CODE.results_free, root=checkout)
    return {letter: tree.fingerprint(f"assets.{step}", step) for letter, step in STEPS.items()}


@pytest.mark.parametrize(("file", "before", "after", "steps"), MUTATIONS)
def test_a_mutation_of_our_code_moves_exactly_the_steps_that_it_concerns(
    checkout: Path, file: str, before: str, after: str, steps: str
) -> None:
    unmutated, path = fingerprints(checkout), checkout / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    try:
        mutated = fingerprints(checkout)
    finally:
        path.write_text(text)
    assert {letter for letter in STEPS if mutated[letter] != unmutated[letter]} == set(steps)
