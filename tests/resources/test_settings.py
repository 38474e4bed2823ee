"""What may be set, the file that keeps it, and one clear sentence for what makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photo_popularity.domain.errors import InputError
from resources.settings import Settings, read_settings_file, write_settings_file

texts = st.text(st.characters(blacklist_categories=["Cs"]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('photo = "/a"', "settings.toml: setting 'photo' is not known; did you mean photos?"),
        ("photos = 7", "setting 'photos' must be a text in quotes, not 7"),
        ('photos = ["/a"]', "setting 'photos' must be a text in quotes"),
        ('own_hosts = "a.example"', r"setting 'own_hosts' must be a list of texts"),
        ("own_hosts = [1]", r"setting 'own_hosts' must be a list of texts"),
        ("photos = /a", "settings.toml: not valid TOML .* correct or delete the file"),
        (b"photos = '\xff'", "settings.toml: not valid TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_an_error_that_names_it(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message):
        read_settings_file(tmp_path / "settings.toml")


def test_settings_that_is_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(InputError, match=r"settings\.toml: cannot be read"):
        read_settings_file(tmp_path / "settings.toml")


def test_a_file_that_this_user_cannot_even_see_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A container runs as any user, whose home may be another's."""
    # no name so long can be looked up, by root neither
    with pytest.raises(InputError, match=r"x: cannot be read \(File name too long\)"):
        read_settings_file(tmp_path / ("x" * 300))


def test_below_a_file_there_is_no_settings_file(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    assert read_settings_file(tmp_path / "home" / "settings.toml") == {}


@given(photos=texts, salt=texts)
def test_what_was_kept_is_read_back(photos: str, salt: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    write_settings_file(
        home / "settings.toml",
        {"photos": photos, "visitor_salt": salt, "own_hosts": ("a.example", "b.example")},
    )
    kept = {"photos": photos, "visitor_salt": salt, "own_hosts": ("a.example", "b.example")}
    assert read_settings_file(home / "settings.toml") == kept


def test_keeping_one_setting_leaves_the_others(tmp_path: Path) -> None:
    write_settings_file(tmp_path / "new" / "settings.toml", {"photos": "/a", "logs": "/b"})
    write_settings_file(tmp_path / "new" / "settings.toml", {"photos": "/c"})
    assert read_settings_file(tmp_path / "new" / "settings.toml") == {"photos": "/c", "logs": "/b"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["settings.toml"]


def test_keeping_what_is_there_leaves_the_comments_of_a_person(tmp_path: Path) -> None:
    text = '# asked the owners\nphotos = "/a"\n'
    (tmp_path / "settings.toml").write_text(text)
    write_settings_file(tmp_path / "settings.toml", {"photos": "/a"})
    assert (tmp_path / "settings.toml").read_text() == text


def test_nothing_is_kept_that_could_not_be_read_back(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="first_day"):
        write_settings_file(tmp_path / "settings.toml", {"first_day": "yesterday"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite:////srv/catalog.sqlite", "sqlite://", "mysql://db/photos"])
def test_a_catalog_that_environments_would_share_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="setting 'catalog' must be a URL postgresql://"):
        Settings(catalog=url)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "a minute", "", "٣"])
def test_sensors_look_once_in_a_whole_number_of_seconds(text: str) -> None:
    with pytest.raises(InputError, match=r"setting 'seconds_between_looks' is .* write whole seconds"):
        Settings(seconds_between_looks=text)


def test_nobody_else_may_read_a_file_that_may_hold_a_password(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    write_settings_file(path, {"database": "postgresql://reader:secret@db/photos"})
    assert path.stat().st_mode & 0o777 == 0o600
