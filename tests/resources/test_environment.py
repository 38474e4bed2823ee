"""Which environment a process is in, and that environments share nothing that they write."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from photo_popularity.domain.errors import InputError
from resources.environment import NAMES, Environment, read_environment
from resources.settings import Settings

SHARED = Settings(storage="s3://photos/", catalog="postgresql://photos@db/photos")
HOME = Path("/srv/home")


def writable(environment: Environment) -> set[str]:
    return {
        environment.storage_root,
        f"{environment.catalog_url} {environment.catalog_schema}",
        str(environment.dagster_home),
        str(environment.run_logs),
    }


def test_without_variables_it_is_local_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = read_environment({})
    assert (environment.label, environment.settings) == ("local", Settings())
    assert environment.storage_root == f"{tmp_path}/.photo-popularity/storage/local"
    assert environment.catalog_url == f"sqlite:///{tmp_path}/.photo-popularity/storage/local/catalog.sqlite"
    assert environment.catalog_schema is None
    assert environment.production is None


def test_an_unknown_environment_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="'prod' is no environment; use one of local, staging, production"):
        read_environment({"PHOTO_POPULARITY_ENV": "prod"})


def test_an_empty_environment_is_an_error_and_not_the_default() -> None:
    with pytest.raises(InputError, match="'' is no environment"):
        read_environment({"PHOTO_POPULARITY_ENV": ""})


def test_a_mistyped_variable_is_an_error_with_a_hint(tmp_path: Path) -> None:
    variables = {"PHOTO_POPULARITY_HOME": str(tmp_path), "PHOTO_POPULARITY_PHOTO": "/photos"}
    with pytest.raises(
        InputError, match=r"PHOTO_POPULARITY_PHOTO is not known; did you mean PHOTO_POPULARITY_PHOTOS\?"
    ):
        read_environment(variables)


def test_a_variable_like_no_setting_is_an_error_that_lists_the_settings(tmp_path: Path) -> None:
    variables = {"PHOTO_POPULARITY_HOME": str(tmp_path), "PHOTO_POPULARITY_QQQQQQQQQQQQQQQQQQQQQQ": "1"}
    with pytest.raises(InputError, match=r"known are .*PHOTO_POPULARITY_CATALOG, "):
        read_environment(variables)


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('photos = "/from/file"\nlogs = "/from/file"\n')
    variables = {"PHOTO_POPULARITY_HOME": str(tmp_path), "PHOTO_POPULARITY_PHOTOS": "/from/variable"}
    settings = read_environment(variables).settings
    assert (settings.photos, settings.logs, settings.database) == ("/from/variable", "/from/file", "")


def test_a_list_may_be_given_with_commas_or_as_in_toml(tmp_path: Path) -> None:
    home = {"PHOTO_POPULARITY_HOME": str(tmp_path)}
    plain = read_environment({**home, "PHOTO_POPULARITY_OWN_HOSTS": "a.example, b.example"})
    assert plain.settings.own_hosts == ("a.example", "b.example")
    quoted = read_environment({**home, "PHOTO_POPULARITY_ROBOT_PATTERNS": '["bot{1,2}"]'})
    assert quoted.settings.robot_patterns == ("bot{1,2}",)


def test_a_pattern_that_is_none_is_told_at_once(tmp_path: Path) -> None:
    variables = {"PHOTO_POPULARITY_HOME": str(tmp_path), "PHOTO_POPULARITY_VIEW_PATTERN": "/photos/(["}
    with pytest.raises(InputError, match=r"view_pattern .* is not a regular expression"):
        read_environment(variables)


def test_staging_is_of_the_user_and_reads_production() -> None:
    staging = Environment("staging", "ann", HOME, SHARED)
    assert staging.storage_root == "s3://photos/staging-ann"
    assert staging.catalog_schema == "photo_popularity_staging_ann"
    assert staging.production is not None
    assert staging.production.storage_root == "s3://photos/production"


users = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=80)


@given(st.lists(users, min_size=2, max_size=4, unique=True), st.sampled_from([Settings(), SHARED]))
def test_no_two_environments_share_anything_writable(names: list[str], settings: Settings) -> None:
    staging = [Environment("staging", user, HOME, settings) for user in names]
    every = [*staging, *(Environment(name, names[0], HOME, settings) for name in NAMES if name != "staging")]
    for one, other in combinations(every, 2):
        assert not writable(one) & writable(other)
        # neither lies within the other, which a rule on a prefix would open
        assert not f"{one.storage_root}/".startswith(f"{other.storage_root}/")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann.lee", "ann-lee"),
        ("Ann", "ann"),
        ("安", "李"),
        ("a" * 70, "a" * 71),
        ("Ann", Environment("staging", "Ann", HOME).label.removeprefix("staging-")),
    ],
)
def test_users_whose_names_differ_only_in_what_is_left_out_are_told_apart(one: str, other: str) -> None:
    labels = {Environment("staging", user, HOME).label for user in (one, other)}
    assert len(labels) == 2


@given(users)
@example("a" * 80)
@example("a" * 25)
def test_every_name_fits_a_bucket_prefix_and_a_schema_of_postgresql(user: str) -> None:
    environment = Environment("staging", user, HOME, SHARED)
    assert len(str(environment.catalog_schema)) < 64
    assert set(environment.label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_what_one_environment_was_told_is_no_setting_of_another_but_staging_follows_production(
    tmp_path: Path,
) -> None:
    files = {name: Environment(name, "ann", tmp_path).settings_file for name in NAMES}
    assert len(set(files.values())) == len(NAMES)
    files["local"].write_text('photos = "/mine"\n')
    files["production"].write_text('photos = "/theirs"\n')
    read = {
        name: read_environment(
            {"PHOTO_POPULARITY_HOME": str(tmp_path), "PHOTO_POPULARITY_ENV": name}
        ).settings.photos
        for name in NAMES
    }
    assert read == {"local": "/mine", "production": "/theirs", "staging": "/theirs"}
