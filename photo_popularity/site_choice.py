"""Which site a run is about: what its options name, the sample site, and a classifier to begin with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photo_popularity.domain.errors import InputError
from resources.environment import Environment

if TYPE_CHECKING:
    from photo_popularity.domain.classifier_training import TrainedClassifier

SITE_CLASSIFIERS = ("classifier.skops", "classifier.onnx")
PICTURES_A_CLASS = 80
SAMPLE_SITE = "sample-site"

Tell = Callable[[str], Any]


def chosen_settings(
    site: Path | None,
    *,
    photos: str | None = None,
    logs: str | None = None,
    database: str | None = None,
    classifier: Path | None = None,
    first_day: str | None = None,
) -> dict[str, str]:
    """The settings that the options name: a whole site, and each source on its own on top of it."""
    from resources.databases import sqlite_url

    chosen: dict[str, str] = {}
    if site is not None:
        site = site.absolute()
        if not site.is_dir():
            raise InputError(
                f"{site}: no such folder; --site names a folder with photos/, logs/ and site.sqlite"
            )
        chosen = {
            "photos": str(site / "photos"),
            "logs": str(site / "logs"),
            "database": sqlite_url(site / "site.sqlite"),
        }
        classifier = classifier or next(
            (site / name for name in SITE_CLASSIFIERS if (site / name).exists()), None
        )
    given = {
        "photos": photos and _place(photos),
        "logs": logs and _place(logs),
        "database": database,
        "classifier": str(classifier.absolute()) if classifier else None,
        "first_day": first_day,
    }
    return chosen | {name: value for name, value in given.items() if value}


def with_settings(environment: Environment, chosen: dict[str, str]) -> Environment:
    """The environment with these settings in place of its own."""
    # every setting that an option names is a string
    return replace(environment, settings=replace(environment.settings, **chosen))  # type: ignore[arg-type]


def refuse_another_site(environment: Environment) -> None:
    """Raise InputError when the home folder works for a real site: the sample would take its place."""
    photos = environment.settings.photos
    if photos and photos != str(environment.home / SAMPLE_SITE / "photos"):
        raise InputError(
            f"{environment.home} holds the results of {photos}; run the sample elsewhere: "
            "PHOTO_POPULARITY_HOME=FOLDER make run, or go on with photo-popularity run"
        )


def make_sample_site(home: Path, *, tell: Tell) -> Path:
    """The sample site below the home folder with a classifier trained on drawings, made unless it is there."""
    from photo_popularity.sample_site.generate import generate_site

    folder = home / SAMPLE_SITE
    generate_site(folder, progress=tell)
    model = folder / SITE_CLASSIFIERS[0]
    if not model.exists():
        _train_on_drawings(folder / "classifier_training", model, tell)
    return folder


def drawn_classifier(home: Path, *, tell: Tell) -> Path:
    """A classifier for a site that has none yet, trained on drawings."""
    from photo_popularity.sample_site.generate import draw_labelled_pictures

    model = home / "drawings" / SITE_CLASSIFIERS[0]
    if not model.exists():
        folder = home / "drawings" / "pictures"
        draw_labelled_pictures(folder, seed=0, pictures_a_class=PICTURES_A_CLASS, tell=tell)
        _train_on_drawings(folder, model, tell)
    tell(
        "No cat/dog classifier is chosen: this one was trained on drawings and knows little of real photos.\n"
        "Train one: photo-popularity train-classifier DIR; or give --classifier FILE."
    )
    return model


def write_classifier(trained: TrainedClassifier, path: Path) -> None:
    """Put the classifier's file in its place, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(trained.data)
    aside.replace(path)


def _train_on_drawings(folder: Path, model: Path, tell: Tell) -> None:
    from photo_popularity.domain.classifier_training import train_classifier

    tell("training the cat/dog classifier on drawn photos")
    write_classifier(train_classifier(folder), model)


def _place(folder: str) -> str:
    return folder if "://" in folder else str(Path(folder).absolute())
