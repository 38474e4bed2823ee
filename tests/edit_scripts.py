"""Random edits of a folder of texts and of the code that works on them, and an oracle of what they cost at least.

Nothing of the project is imported here: the oracle is written from the rules alone. A script is a function of its seed.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

POISON, UNLUCKY = "poison", 7
FIRST_STAMP, STAMPS_APART = 1_700_000_000, 1_000_000_000
NAMES = (
    "a.txt b.txt c,d.txt p x/a.txt x/b.txt x/50%.txt x/%2C.txt y/a.txt y/z/a.txt y/z/b...c.txt p/a.txt p/b.txt "
    "café.txt y/z/ü.txt long/way/down/a.txt"
).split()
FILES_AT_FIRST, STEPS, EDITS_A_STEP = 8, 8, (1, 1, 2, 3, 4)
# how likely each kind of edit is: those that can always be done, and those of a file that is there
CHANCES_WITHOUT_A_FILE: dict[str, float] = {"add": 4, "copy": 3, "comment": 2, "code": 4}
CHANCES_OF_A_FILE: dict[str, float] = {
    "modify": 4,
    "touch": 2,
    "delete": 3,
    "rename": 3,
    "swap": 3,
    "clear": 0.3,
    "revert": 4,
    "restore": 2,
    "as many words": 4,
    "poison": 3,
    "cure": 3,
}
# for its seed's place in here a script has its files in partitions of that grain
GRAINS = ("by file", "by folder", "in buckets")


@dataclass(frozen=True)
class Write:
    """A file gets this text: a new one, a changed one, a copy, or one that goes back to what it was."""

    name: str
    text: str
    stamp: int
    why: str = ""


@dataclass(frozen=True)
class Touch:
    """A file gets a new time of change and keeps its text."""

    name: str
    stamp: int


@dataclass(frozen=True)
class Delete:
    """A file goes."""

    name: str


@dataclass(frozen=True)
class Rename:
    """A file gets another name and keeps its time of change."""

    name: str
    new: str


@dataclass(frozen=True)
class Swap:
    """Two files change places, with their times."""

    name: str
    other: str


@dataclass(frozen=True)
class Comment:
    """A step's comments are written anew."""

    step: str
    words: str


@dataclass(frozen=True)
class Code:
    """A step gets other code, see the variants below."""

    step: str
    variant: str


Edit = Write | Touch | Delete | Rename | Swap | Comment | Code


@dataclass(frozen=True)
class Counting:
    """A variant of step A: `helper` stands in another module; `means` what it makes of a text and its name."""

    helper: str
    count: str
    means: Callable[[str, str], int]
    reads_poison: bool = False
    asks_for_the_name: bool = False


@dataclass(frozen=True)
class Judging:
    """A variant of step B, which may be unable to judge one number."""

    judge: str
    means: Callable[[int], bool]
    unlucky: int | None = UNLUCKY


@dataclass(frozen=True)
class Summing:
    """A variant of step C."""

    total: str
    means: Callable[[int], int]


def _words(text: str) -> int:
    return len(text.split())


COUNTING = {
    "words": Counting("len(text.split())", "counted(text)", lambda text, _: _words(text)),
    # other code with the same results
    "few": Counting("min(len(text.split()), 99)", "counted(text)", lambda text, _: _words(text)),
    "sure": Counting("len(text.split())", "max(counted(text), 0)", lambda text, _: _words(text)),
    # the same results for some
    "at most 4": Counting("min(len(text.split()), 4)", "counted(text)", lambda text, _: min(_words(text), 4)),
    "one more": Counting("len(text.split())", "counted(text) + 1", lambda text, _: _words(text) + 1),
    "brave": Counting("len(text.split())", "counted(text)", lambda text, _: _words(text), reads_poison=True),
    "named": Counting(
        "len(text.split())",
        "counted(text) + len(file.path) % 2",
        lambda text, name: _words(text) + len(name) % 2,
        asks_for_the_name=True,
    ),
}
JUDGING = {
    "3": Judging("words >= 3", lambda words: words >= 3),
    "more than 2": Judging("words > 2", lambda words: words > 2),
    "5": Judging("words >= 5", lambda words: words >= 5),
    "undaunted": Judging("words >= 3", lambda words: words >= 3, unlucky=None),
}
SUMMING = {
    "sum": Summing("words", lambda words: words),
    "the same sum": Summing("words + 0", lambda words: words),
    "double": Summing("2 * words", lambda words: 2 * words),
}
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "word_counts": COUNTING,
    "long_texts": JUDGING,
    "text_totals": SUMMING,
}
CODE_AT_FIRST = {"word_counts": "words", "long_texts": "3", "text_totals": "sum"}

HELPERS = '''"""What the steps call."""


def counted(text):
    """How many: {word_counts}."""
    # {word_counts}
    return {helper}
'''
STEPS_MODULE = '''"""Three steps, as a script of edits has left them."""

import pandas as pd

from {package}.helpers import counted


def word_counts(file):
    """A: {word_counts}."""
    text = file.read().decode()
    if "{poison}" in text and not {reads_poison}:  # {word_counts}
        raise ValueError("cannot read " + text)
    return {{"words": {count}}}


def long_texts(word_counts):
    """B: {long_texts}."""
    # {long_texts}
    [words] = word_counts["words"]
    if words == {unlucky}:
        raise ValueError("an unlucky number")
    return {{"is_long": bool({judge})}}


def text_totals(work, word_counts, long_texts):
    """C: {text_totals}."""
    words = word_counts["words"].sum()  # {text_totals}
    days = pd.to_datetime(work.partition_keys).astype("datetime64[us]")
    sums = {{"texts": len(word_counts), "words": {total}, "long_texts": long_texts["is_long"].sum()}}
    return pd.DataFrame({{"day": days, **sums}})
'''


@dataclass(frozen=True)
class File:
    """A file as it is now."""

    text: str
    stamp: int


@dataclass
class Texts:
    """Files by name, and the variant and comment of each step: what a script does, without a disk."""

    files: dict[str, File] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=lambda: dict(CODE_AT_FIRST))
    comments: dict[str, str] = field(default_factory=lambda: dict.fromkeys(CODE_AT_FIRST, "as at first"))

    def apply(self, edit: Edit) -> None:
        """Do what the edit says."""
        match edit:
            case Write(name, text, stamp):
                self.files[name] = File(text, stamp)
            case Touch(name, stamp):
                self.files[name] = replace(self.files[name], stamp=stamp)
            case Delete(name):
                del self.files[name]
            case Rename(name, new):
                self.files[new] = self.files.pop(name)
            case Swap(name, other):
                self.files[name], self.files[other] = self.files[other], self.files[name]
            case Comment(step, words):
                self.comments[step] = words
            case Code(step, variant):
                self.code[step] = variant


@dataclass(frozen=True)
class Script:
    """The edits of each step; the first step makes the first files."""

    seed: int
    steps: tuple[tuple[Edit, ...], ...]

    @property
    def grain(self) -> str:
        """Which files share a partition in Dagster."""
        return GRAINS[self.seed % len(GRAINS)]

    def told(self, until: int) -> str:
        """The script up to a step, to be read and replayed."""
        lines = [f"seed {self.seed}, partitions {self.grain}:"]
        for number, edits in enumerate(self.steps[: until + 1]):
            lines += [f"  step {number}", *(f"    {edit}" for edit in edits)]
        return "\n".join(lines)


def script_of(seed: int) -> Script:
    """The script with this seed."""
    author = _Author(Random(seed))
    first = tuple(author.write(author.new_text()) for _ in range(FILES_AT_FIRST))
    later = (
        tuple(edit for _ in range(author.random.choice(EDITS_A_STEP)) for edit in author.edits())
        for _ in range(STEPS)
    )
    return Script(seed, (first, *later))


class _Author:
    """Makes up edits that can be done one after the other."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._texts, self._stamps = Texts(), 0
        self._had: dict[str, list[File]] = {}
        self._ever: list[str] = []

    def new_text(self, *, words: int | None = None, poisoned: bool = False) -> str:
        """A text that never was before, of few words, so that some have as many as others."""
        count = self.random.randint(int(poisoned), 8) if words is None else words
        first = f"w{len(self._ever)}" + (f"-{POISON}" if poisoned else "")
        text = " ".join([first, *["w"] * (count - 1)]) if count else " " * len(self._ever)
        self._ever.append(text)
        return text

    def write(self, text: str, *, name: str = "", why: str = "new") -> Edit:
        """A write to that file, or to one that is not there."""
        return self._done(Write(name or self.random.choice(self._free()), text, self._stamp(), why))

    def edits(self) -> Iterator[Edit]:
        """One thing that somebody does, which may be no edit when it cannot be done now."""
        present = sorted(self._texts.files)
        chances = CHANCES_WITHOUT_A_FILE | (CHANCES_OF_A_FILE if present else {})
        [what] = self.random.choices(list(chances), list(chances.values()))
        if what in CHANCES_WITHOUT_A_FILE:
            yield from self._of_none(what)
        elif what == "clear":
            yield from (self._done(Delete(name)) for name in present)
        else:
            yield from self._of_one(what, self.random.choice(present))

    def _of_none(self, what: str) -> Iterator[Edit]:
        step = self.random.choice(list(VARIANTS))
        if what == "comment":
            yield self._done(Comment(step, f"comment {self.random.randrange(1_000)}"))
        elif what == "code":
            others = [variant for variant in VARIANTS[step] if variant != self._texts.code[step]]
            yield self._done(Code(step, self.random.choice(others)))
        elif self._free():
            text = self.random.choice(self._ever) if what == "copy" else self.new_text()
            yield self.write(text, why=what)

    def _of_one(self, what: str, name: str) -> Iterator[Edit]:
        text = self._texts.files[name].text
        if what == "touch":
            yield self._done(Touch(name, self._stamp()))
        elif what == "delete":
            yield self._done(Delete(name))
        elif what == "rename" and self._free():
            yield self._done(Rename(name, self.random.choice(self._free())))
        elif what == "swap":
            other = self.random.choice(sorted(self._texts.files))
            if other != name:
                yield self._done(Swap(name, other))
        elif what == "revert":
            yield self.write(self.random.choice(self._had[name]).text, name=name, why=what)
        elif what == "restore":
            earlier = self.random.choice(self._had[name])
            yield self._done(Write(name, earlier.text, earlier.stamp, what))
        elif what == "as many words":
            yield self.write(self.new_text(words=_words(text)), name=name, why=what)
        elif what != "cure" or POISON in text:
            yield self.write(self.new_text(poisoned=what == "poison"), name=name, why=what)

    def _done(self, edit: Edit) -> Edit:
        self._texts.apply(edit)
        for name, file in self._texts.files.items():
            if file not in self._had.setdefault(name, []):
                self._had[name].append(file)
        return edit

    def _stamp(self) -> int:
        self._stamps += 1
        return self._stamps

    def _free(self) -> list[str]:
        """The names that no file has, and no folder."""
        taken = set(self._texts.files)
        folders = {str(parent) for name in taken for parent in Path(name).parents}
        return [
            name
            for name in NAMES
            if name not in taken | folders and not taken & {str(parent) for parent in Path(name).parents}
        ]


@dataclass
class Workshop:
    """A real folder of texts, and a package of code, on which a script is carried out."""

    texts: Path
    package: Path
    now: Texts = field(default_factory=Texts)
    _saves: int = 0

    def __post_init__(self) -> None:
        self.texts.mkdir(parents=True, exist_ok=True)
        # without any file at all the folder looks like a disk that is not mounted
        (self.texts / ".empty").touch()
        self.package.mkdir(parents=True)
        self._save("__init__", '"""Code that a script of edits has written."""\n')
        self.write_code()

    def carry_out(self, edit: Edit) -> None:
        """Do to the folder, or to the code, what the edit says."""
        match edit:
            case Write(name, text, stamp):
                path = self.texts / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                _set_time(path, stamp)
            case Touch(name, stamp):
                _set_time(self.texts / name, stamp)
            case Delete(name):
                self._remove(name)
            case Rename(name, new):
                (self.texts / new).parent.mkdir(parents=True, exist_ok=True)
                (self.texts / name).rename(self.texts / new)
                self._tidy()
            case Swap(name, other):
                aside = self.texts / ".aside"
                (self.texts / name).rename(aside)
                (self.texts / other).rename(self.texts / name)
                aside.rename(self.texts / other)
        self.now.apply(edit)
        if isinstance(edit, Comment | Code):
            self.write_code()

    def write_code(self) -> None:
        """The two modules of the steps as they are now."""
        counting = COUNTING[self.now.code["word_counts"]]
        judging = JUDGING[self.now.code["long_texts"]]
        values = {
            **self.now.comments,
            "package": self.package.name,
            "poison": POISON,
            "helper": counting.helper,
            "count": counting.count,
            "reads_poison": counting.reads_poison,
            "judge": judging.judge,
            "unlucky": judging.unlucky,
            "total": SUMMING[self.now.code["text_totals"]].total,
        }
        self._save("helpers", HELPERS.format(**values))
        self._save("steps", STEPS_MODULE.format(**values))

    def _save(self, module: str, text: str) -> None:
        path = self.package / f"{module}.py"
        path.write_text(text)
        # Python tells a source from its compiled form by the second
        self._saves += 1
        _set_time(path, self._saves)

    def _remove(self, name: str) -> None:
        (self.texts / name).unlink()
        self._tidy()

    def _tidy(self) -> None:
        """Remove folders without files: a file may get the name of one."""
        for folder in sorted((path for path in self.texts.rglob("*") if path.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()


def _set_time(path: Path, stamp: int) -> None:
    moment = FIRST_STAMP * STAMPS_APART + stamp * STAMPS_APART
    os.utime(path, ns=(moment, moment))


@dataclass(frozen=True)
class Refused:
    """The outcome of a step that could make nothing of a file."""

    reason: str


@dataclass(frozen=True)
class Expected:
    """What there should be after a step of a script, and what it should have cost: executions by asset."""

    executions: Mapping[str, int]
    word_counts: Mapping[str, object]
    long_texts: Mapping[str, object]
    text_totals: tuple[object, ...]


class Oracle:
    """What each state costs that has not been paid for in an earlier one: what was made once is never made again."""

    def __init__(self) -> None:
        self._paid: set[Hashable] = set()

    def after(self, texts: Texts) -> Expected:
        """What is there once the texts are settled, and the executions that took."""
        self._costs = Counter[str]()
        counts = {name: self._counted(name, file.text, texts) for name, file in texts.files.items()}
        readable = {name: words for name, words in counts.items() if isinstance(words, int)}
        judged = {name: self._judged(words, texts) for name, words in readable.items()}
        known = {name: is_long for name, is_long in judged.items() if isinstance(is_long, bool)}
        variant = texts.code["text_totals"]
        self._pay("text_totals", variant, frozenset(readable.items()), frozenset(known.items()))
        sums = (len(readable), SUMMING[variant].means(sum(readable.values())), sum(known.values()))
        return Expected(dict(self._costs), counts, judged, sums)

    def _counted(self, name: str, text: str, texts: Texts) -> int | Refused:
        variant = texts.code["word_counts"]
        counting = COUNTING[variant]
        refuses = POISON in text and not counting.reads_poison
        # a result belongs to the name only if the name was asked for
        belongs_to = name if counting.asks_for_the_name and not refuses else ""
        self._pay("word_counts", variant, text, belongs_to)
        return Refused(f"ValueError: cannot read {text}") if refuses else counting.means(text, name)

    def _judged(self, words: int, texts: Texts) -> bool | Refused:
        variant = texts.code["long_texts"]
        self._pay("long_texts", variant, words)
        judging = JUDGING[variant]
        unlucky = judging.unlucky == words
        return Refused("ValueError: an unlucky number") if unlucky else judging.means(words)

    def _pay(self, asset: str, *made_from: Hashable) -> None:
        if (asset, made_from) not in self._paid:
            self._paid.add((asset, made_from))
            self._costs[asset] += 1
