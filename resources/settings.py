"""What a site may set, and the file that keeps it. Which environment it is for, `environment.py` says."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.domain.errors import InputError

_DEFAULT_RULES = BehaviorRules()


@dataclass(frozen=True)
class Settings:
    """What a site may set, each under its own name in `settings.toml` or as `PHOTO_POPULARITY_<NAME>`.

    Sources: `photos` and `logs` are folders or `s3://` URLs, `database` a SQLAlchemy URL. `storage` is the folder or
    URL below which each environment has its own root; `catalog` the URL of a PostgreSQL database, one schema an
    environment. `first_day` is the first UTC day that has
    partitions; without it that is `data_since`, which `run` takes from the data. Patterns must hold a group named `photo_id`.
    Sensors look at their sources once in `seconds_between_looks`. `credentials` is the folder of the credentials that each
    task has for itself; without it, all work with those of the process that runs them.
    Raises InputError for a value that makes no sense.
    """

    photos: str = ""
    logs: str = ""
    database: str = ""
    storage: str = ""
    catalog: str = ""
    first_day: str = ""
    data_since: str = "2026-01-01"
    classifier: str = ""
    visitor_salt: str = "change-me-in-production"
    visitor_salt_version: str = "1"
    own_hosts: tuple[str, ...] = _DEFAULT_RULES.own_hosts
    view_pattern: str = _DEFAULT_RULES.view_pattern
    like_pattern: str = _DEFAULT_RULES.like_pattern
    download_pattern: str = _DEFAULT_RULES.download_pattern
    image_extensions: tuple[str, ...] = _DEFAULT_RULES.image_extensions
    robot_patterns: tuple[str, ...] = _DEFAULT_RULES.robot_patterns
    night_cron: str = "0 7 * * *"
    seconds_between_looks: str = "60"
    failure_webhook: str = ""
    s3_endpoint: str = ""
    credentials: str = ""

    def __post_init__(self) -> None:
        for item in fields(self):
            _check_type(f"setting {item.name!r}", getattr(self, item.name), like=item.default)
        _parse_day(self.first_day or self.data_since)
        _check_catalog(self.catalog)
        self.look_every  # noqa: B018 -- it is a number of seconds
        self.behavior_rules  # noqa: B018 -- its patterns and lists are checked as it is made

    @property
    def first_partition_day(self) -> date:
        """The first day that has partitions."""
        return _parse_day(self.first_day or self.data_since)

    @property
    def look_every(self) -> int:
        """Seconds from one look of a sensor at its source to the next, at least."""
        text = self.seconds_between_looks
        if not (text.isascii() and text.isdigit() and int(text)):
            raise InputError(
                f"setting 'seconds_between_looks' is {text!r}; write whole seconds, as in \"60\""
            )
        return int(text)

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


def read_settings_file(path: Path) -> dict[str, object]:
    """The settings kept in a file, none when there is no file; InputError for a file that makes no sense."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML ({error}); correct or delete the file") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); make it a file that this user may read"
        ) from error
    known = {item.name: item for item in fields(Settings)}
    kept: dict[str, object] = {}
    for key, value in values.items():
        if key not in known:
            raise InputError(unknown_name(f"{path}: setting {key!r}", key, list(known)))
        kept[key] = tuple(value) if isinstance(value, list) else value
        _check_type(f"{path}: setting {key!r}", kept[key], like=known[key].default)
    return kept


def write_settings_file(path: Path, values: Mapping[str, str | tuple[str, ...]]) -> None:
    """Keep `values` in the file, beside the settings already there.

    The file is written anew, without its comments, only when a value differs.
    """
    before = read_settings_file(path)
    kept = {**before, **values}
    Settings(**kept)  # type: ignore[arg-type]
    if kept == before:
        return
    lines = ["# Written by photo-popularity; PHOTO_POPULARITY_<NAME> variables win over it."]
    for key, value in sorted(kept.items()):
        items = [_quoted(item) for item in value] if isinstance(value, tuple) else None
        lines.append(
            f"{key} = [{', '.join(items)}]" if items is not None else f"{key} = {_quoted(str(value))}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # the URL of a database may hold a password
        aside.touch(mode=0o600)
        aside.write_bytes(("\n".join(lines) + "\n").encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: {error.object!r} is no text; rename the file to UTF-8") from error
    aside.replace(path)


def parse_variable(text: str, setting: str) -> object:
    """The value of the setting that an environment variable gives.

    A list is separated by commas, or written as in TOML where an item holds a comma: `["bot{1,2}"]`.
    """
    if not isinstance({item.name: item for item in fields(Settings)}[setting].default, tuple):
        return text
    if text.lstrip().startswith(('["', "['")):
        try:
            return tuple(tomllib.loads(f"items = {text}")["items"])
        except tomllib.TOMLDecodeError as error:
            raise InputError(
                f"setting {setting!r} is {text!r}, which is no list ({error}); write it as in TOML"
            ) from error
    return tuple(part.strip() for part in text.split(",") if part.strip())


def unknown_name(what: str, name: str, known: list[str]) -> str:
    """The sentence about a name that is none of `known`, with the one that may have been meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"{what} is not known; " + (
        f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"
    )


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's too; TOML alone forbids a bare DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _check_type(what: str, value: object, *, like: object) -> None:
    if isinstance(like, tuple):
        if not (isinstance(value, tuple) and all(isinstance(item, str) for item in value)):
            raise InputError(f'{what} must be a list of texts, as in ["first", "second"], not {value!r}')
    elif not isinstance(value, str):
        raise InputError(f"{what} must be a text in quotes, not {value!r}")


def _check_catalog(url: str) -> None:
    if url and not url.startswith("postgresql"):
        # one SQLite file has no schemas, so two environments would share it
        raise InputError(
            "setting 'catalog' must be a URL postgresql://USER@HOST/NAME; leave it out for a SQLite file for each environment"
        )


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"setting 'first_day' is {text!r}, which is no day; write it as YYYY-MM-DD"
        ) from error
