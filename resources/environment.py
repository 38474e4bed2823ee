"""Where this process runs and what belongs to it: the one place that reads the process environment.

Every root, catalog and bucket prefix is derived from the environment's name, so that two environments can never share
anything writable. Settings come from `PHOTO_POPULARITY_*` variables first, then from `settings.toml` in the home folder
(written by `photo-popularity run`), then from the defaults.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from photo_popularity.domain.errors import InputError
from resources.settings import Settings, parse_variable, read_settings_file, unknown_name

PREFIX = "PHOTO_POPULARITY_"
NAMES = ("local", "staging", "production")
# a variable with the prefix that is neither one of these nor a setting is a typo
OTHER_VARIABLES = {"ENV", "HOME", "USER", "REAL_DATA", "DAGSTER_CHART"}
OTHER_PREFIX = "CLUSTER_"
# PostgreSQL cuts names after 63 bytes, silently
LONGEST_USER = 24
# how names end that are not their users' own
NUMBERED = re.compile(r"-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Environment:
    """One installation: its name, who installed it, and all that is derived from these."""

    name: str
    user: str
    home: Path
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"{PREFIX}ENV={self.name!r} is no environment; use one of {', '.join(NAMES)}")

    @property
    def label(self) -> str:
        """`local`, `production`, or `staging-<user>`: the name that every root carries."""
        return f"staging-{_short_name(self.user)}" if self.name == "staging" else self.name

    @property
    def storage_root(self) -> str:
        """Folder or URL of this environment's data; no other environment writes below it."""
        return f"{self.settings.storage.rstrip('/') or self.home / 'storage'}/{self.label}"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the catalog."""
        # commands without a catalog need not wait for SQLAlchemy
        from resources.databases import sqlite_url

        return self.settings.catalog or sqlite_url(self.home / "storage" / self.label / "catalog.sqlite")

    @property
    def catalog_schema(self) -> str | None:
        """Database schema of the catalog; a SQLite file needs none."""
        return "photo_popularity_" + self.label.replace("-", "_") if self.settings.catalog else None

    @property
    def production(self) -> Environment | None:
        """The environment whose results this one may read, if it is a staging one."""
        return replace(self, name="production") if self.name == "staging" else None

    @property
    def works_by_itself(self) -> bool:
        """Whether schedule and sensors run as soon as they are deployed; elsewhere somebody starts them."""
        return self.name == "production"

    @property
    def settings_file(self) -> Path:
        """Where what was chosen is kept; each environment has a file of its own."""
        return self.home / ("settings.toml" if self.name == "local" else f"settings-{self.label}.toml")

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
    home = Path(ours.get("HOME") or Path.cwd() / ".photo-popularity").expanduser().absolute()
    user = ours.get("USER") or _login_name()
    # an unknown name is told before anything else is read
    environment = Environment(ours.get("ENV", "local"), user, home)
    production = environment.production
    # a staging one works on production's sources unless it has chosen others
    values = read_settings_file(production.settings_file) if production else {}
    values |= read_settings_file(environment.settings_file)
    known = [item.name.upper() for item in fields(Settings)]
    for key, value in ours.items():
        if key in OTHER_VARIABLES or key.startswith(OTHER_PREFIX):
            continue
        if key not in known:
            raise InputError(
                unknown_name(f"environment variable {PREFIX}{key}", PREFIX + key, [PREFIX + k for k in known])
            )
        values[key.lower()] = parse_variable(value, key.lower())
    return replace(environment, settings=Settings(**values))  # type: ignore[arg-type]


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return f"uid{os.getuid()}"


def _short_name(user: str) -> str:
    """The user as a part of folder, bucket and schema names; two users never have the same one."""
    plain = re.sub(r"[^a-z0-9]+", "-", user.lower()).strip("-")[:LONGEST_USER].rstrip("-")
    if plain == user and not NUMBERED.search(plain):
        return plain
    # what was left out told users apart: ann.lee is not ann-lee
    return f"{plain}-{hashlib.sha256(user.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}".lstrip("-")
