"""Where this process runs and what belongs to it: the one place that reads the process environment.

Every root, catalog and bucket prefix is derived from the environment's name, so that two environments can never share
anything writable. Settings come from `PHOTO_POPULARITY_*` variables first, then from `settings.toml` in the home folder
(written by `photo-popularity run`), then from the defaults here.
"""

from __future__ import annotations

import difflib
import getpass
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path

from photo_popularity.domain.behavior import BehaviorRules
from photo_popularity.domain.errors import InputError

PREFIX = "PHOTO_POPULARITY_"
NAMES = ("local", "staging", "production")
SETTINGS_FILE = "settings.toml"
# named after the setting that they fill; a variable with the prefix that is none of these is a typo
OTHER_VARIABLES = {"ENV", "HOME", "USER", "REAL_DATA"}


@dataclass(frozen=True)
class Settings:
    """What a site may set, each under its own name in `settings.toml` or as `PHOTO_POPULARITY_<NAME>`.

    Sources: `photos` and `logs` are folders or `s3://` URLs, `database` a SQLAlchemy URL. `storage` is the folder or
    URL below which each environment has its own root; `catalog` a SQLAlchemy URL, one schema an environment.
    `first_day` is the first UTC day that has partitions. Patterns must hold a group named `photo_id`.
    """

    photos: str = ""
    logs: str = ""
    database: str = ""
    storage: str = ""
    catalog: str = ""
    first_day: str = "2026-01-01"
    classifier: str = ""
    visitor_salt: str = "change-me-in-production"
    visitor_salt_version: str = "1"
    own_hosts: tuple[str, ...] = BehaviorRules().own_hosts
    view_pattern: str = BehaviorRules().view_pattern
    like_pattern: str = BehaviorRules().like_pattern
    download_pattern: str = BehaviorRules().download_pattern
    image_extensions: tuple[str, ...] = BehaviorRules().image_extensions
    robot_patterns: tuple[str, ...] = BehaviorRules().robot_patterns
    night_cron: str = "0 7 * * *"
    failure_webhook: str = ""
    s3_endpoint: str = ""

    def __post_init__(self) -> None:
        _parse_day(self.first_day)

    @property
    def first_partition_day(self) -> date:
        """`first_day` as a date."""
        return _parse_day(self.first_day)

    @property
    def behavior_rules(self) -> BehaviorRules:
        """What counts as a view, a like, a download and a robot."""
        return BehaviorRules(
            view_pattern=self.view_pattern,
            like_pattern=self.like_pattern,
            download_pattern=self.download_pattern,
            own_hosts=self.own_hosts,
            image_extensions=self.image_extensions,
            robot_patterns=self.robot_patterns,
        )


@dataclass(frozen=True)
class Environment:
    """One installation: its name, who installed it, and all that is derived from these."""

    name: str
    user: str
    home: Path
    settings: Settings = field(default_factory=Settings)

    @property
    def label(self) -> str:
        """`local`, `production`, or `staging-<user>`: the name that every root carries."""
        return f"staging-{self.user}" if self.name == "staging" else self.name

    @property
    def storage_root(self) -> str:
        """Folder or URL of this environment's data; no other environment writes below it."""
        return f"{self.settings.storage.rstrip('/') or self.home / 'storage'}/{self.label}"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        return self.settings.catalog or f"sqlite:///{self.home / 'storage' / self.label / 'catalog.sqlite'}"

    @property
    def catalog_schema(self) -> str | None:
        """Database schema of the catalog; a SQLite file needs none."""
        if self.catalog_url.startswith("sqlite"):
            return None
        return "photo_popularity_" + re.sub(r"\W", "_", self.label)

    @property
    def production(self) -> Environment | None:
        """The environment whose results this one may read, if it is a staging one."""
        return replace(self, name="production") if self.name == "staging" else None

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's own instance; `DAGSTER_HOME`, when set, wins."""
        return self.home / "dagster" / self.label

    @property
    def run_logs(self) -> Path:
        """Folder of one log file a run."""
        return self.home / "run_logs" / self.label


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """The environment that the process environment and the home folder's settings describe.

    Raises InputError for an unknown environment or setting; it names the valid ones.
    """
    variables = os.environ if variables is None else variables
    ours = {key.removeprefix(PREFIX): value for key, value in variables.items() if key.startswith(PREFIX)}
    name = ours.get("ENV", "local")
    if name not in NAMES:
        raise InputError(f"{PREFIX}ENV={name!r} is no environment; use one of {', '.join(NAMES)}")
    home = Path(ours.get("HOME") or Path.cwd() / ".photo-popularity").absolute()
    user = re.sub(r"[^a-z0-9]+", "-", (ours.get("USER") or getpass.getuser()).lower()).strip("-")
    known = {item.name.upper(): item for item in fields(Settings)}
    values = read_settings_file(home)
    for key, value in ours.items():
        if key in OTHER_VARIABLES:
            continue
        if key not in known:
            raise InputError(_unknown(f"environment variable {PREFIX}{key}", PREFIX, key, list(known)))
        values[key.lower()] = _parse(value, like=known[key].default)
    return Environment(name=name, user=user, home=home, settings=Settings(**values))  # type: ignore[arg-type]


def read_settings_file(home: Path) -> dict[str, object]:
    """The settings kept in the home folder, none when there is no file."""
    path = home / SETTINGS_FILE
    if not path.exists():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML ({error}); correct or delete the file") from error
    known = {item.name: item for item in fields(Settings)}
    for key, value in values.items():
        if key not in known:
            raise InputError(_unknown(f"{path}: setting {key!r}", "", key, list(known)))
        if not isinstance(value, str | list):
            raise InputError(f"{path}: setting {key!r} must be a string or a list of strings, not {value!r}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def write_settings_file(home: Path, values: Mapping[str, str]) -> None:
    """Keep `values` in the home folder's settings, beside those already there."""
    kept = {**read_settings_file(home), **values}
    lines = ["# Written by photo-popularity run; PHOTO_POPULARITY_<NAME> variables win over it."]
    for key, value in sorted(kept.items()):
        items = [_quoted(item) for item in value] if isinstance(value, tuple) else None
        lines.append(f"{key} = [{', '.join(items)}]" if items is not None else f"{key} = {_quoted(str(value))}")
    home.mkdir(parents=True, exist_ok=True)
    aside = home / f".{SETTINGS_FILE}.{os.getpid()}"
    aside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    aside.replace(home / SETTINGS_FILE)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _parse(value: str, *, like: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(like, tuple) else value


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"setting 'first_day' is {text!r}, which is no day; write it as YYYY-MM-DD") from error


def _unknown(what: str, prefix: str, key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"known are {', '.join(prefix + k for k in sorted(known))}"
    return f"{what} is not known; {hint}"
