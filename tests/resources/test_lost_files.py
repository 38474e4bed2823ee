"""Files that are gone or cut short are found and put on record; nothing is believed of a storage that is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from photo_popularity.catalog_tables import ASSETS
from photo_popularity.domain.errors import InputError
from photo_popularity.query import run_query
from resources.catalog_records import LOST, Output
from resources.installation import Installation
from resources.lost_files import find_lost, record_lost
from tests import small_site
from tests.services.s3 import S3Server

DAYS = ["2026-10-01", "2026-10-02"]


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    """Two days of behaviour and a model."""
    site = small_site.an_installation(small_site.an_environment(tmp_path / "home"))
    for day in DAYS:
        small_site.commit(site, "behavior_signals", small_site.behavior(day, p1=3), partitions=[day])
    small_site.commit(site, "popularity_model", small_site.a_model(), partitions=DAYS[:1])
    return site


def file_of(site: Installation, asset: str, day: str) -> Path:
    output = site.catalog.current(asset)[day]
    return Path(site.storage.outputs.url(output))


def lost(site: Installation) -> dict[str, list[str]]:
    found = find_lost(site.storage.outputs, "local", ASSETS)
    return {asset: list(its) for asset, its in found.items()}


def test_nothing_is_lost_where_every_file_is_there(site: Installation) -> None:
    assert lost(site) == {}


def test_an_output_is_lost_when_its_file_is_gone_or_cut_short(site: Installation) -> None:
    file_of(site, "behavior_signals", DAYS[0]).unlink()
    assert lost(site) == {"behavior_signals": DAYS[:1]}
    cut = file_of(site, "behavior_signals", DAYS[1])
    cut.write_bytes(cut.read_bytes()[:-1])
    assert lost(site) == {"behavior_signals": DAYS}


def test_a_model_without_its_card_is_lost(site: Installation) -> None:
    model = site.catalog.current("popularity_model")[DAYS[0]]
    assert site.storage.outputs.exists(model)
    file_of(site, "popularity_model", DAYS[0]).with_suffix(".json").unlink()
    assert lost(site) == {"popularity_model": DAYS[:1]}
    assert not site.storage.outputs.exists(model), "what was made before is not made current again either"


def test_what_was_not_made_here_is_for_others_to_look_at(site: Installation) -> None:
    inherited = Output("v", "behavior_signals/2026-10-03/v.parquet", environment="production")
    site.catalog.set_current("behavior_signals", {"2026-10-03": inherited})
    site.catalog.set_current("photo_content", {"a.jpg": Output("q", detail={"quarantined": "no photo"})})
    assert lost(site) == {}


def test_a_storage_without_a_single_file_is_not_believed(site: Installation) -> None:
    """Risk: a disk that is not mounted, and everything would be made again."""
    for asset in ("behavior_signals", "popularity_model"):
        shutil.rmtree(site.environment.home / "storage" / "local" / asset)
    with pytest.raises(InputError, match=r"none of the 3 files of local is below .* add --all-lost"):
        lost(site)
    every = find_lost(site.storage.outputs, "local", ASSETS, may_be_all=True)
    assert {asset: list(its) for asset, its in every.items()} == {
        "behavior_signals": DAYS,
        "popularity_model": DAYS[:1],
    }


@pytest.mark.s3
def test_files_of_an_object_store_are_listed_alike(
    tmp_path: Path, s3_server: S3Server, s3_bucket: str
) -> None:
    where = {"storage": f"s3://{s3_bucket}/results", "s3_endpoint": s3_server.endpoint_url}
    site = small_site.an_installation(small_site.an_environment(tmp_path / "home", **where))
    for day in DAYS:
        small_site.commit(site, "behavior_signals", small_site.behavior(day, p1=3), partitions=[day])
    assert lost(site) == {}
    path = site.catalog.current("behavior_signals")[DAYS[1]].path
    s3_server.client().delete_object(Bucket=s3_bucket, Key=f"results/local/{path}")
    assert lost(site) == {"behavior_signals": DAYS[1:]}


def test_what_is_on_record_as_lost_is_made_again_and_queries_leave_it_out(site: Installation) -> None:
    for asset in ("behavior_signals", "popularity_model"):
        file_of(site, asset, DAYS[0]).unlink()
    record_lost(site.catalog, find_lost(site.storage.outputs, "local", ASSETS))
    assert {day: o.rejected for day, o in site.catalog.current("behavior_signals").items()} == {
        DAYS[0]: LOST,
        DAYS[1]: "",
    }
    days = run_query(site.environment, "SELECT day FROM behavior_signals").to_pylist()
    assert [str(row["day"]) for row in days] == DAYS[1:]
    assert run_query(site.environment, "SELECT day FROM popularity_model").to_pylist() == []
    current = site.catalog.current("behavior_signals")
    assert len(site.storage.read_table("behavior_signals", current)) == 1
