"""One environment's working set: catalog, storage and sources, made once and shared by all that need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resources.catalog import Catalog
from resources.classifier import ClassifierFile
from resources.environment import Environment
from resources.outputs import read_outputs
from resources.photo_database import PhotoDatabase
from resources.pipeline import Pipeline
from resources.sources import FileSource
from resources.steps import Source
from resources.table_storage import TableStorage


@dataclass(frozen=True)
class Installation:
    """The parts of one environment. Nothing is opened before it is used."""

    environment: Environment
    pipeline: Pipeline
    catalog: Catalog
    storage: TableStorage
    file_sources: Mapping[str, FileSource]
    photo_database: PhotoDatabase
    classifier: ClassifierFile


def install(environment: Environment, pipeline: Pipeline) -> Installation:
    """The working set of an environment."""
    settings, outputs = environment.settings, read_outputs(environment)
    file_sources = {
        name: FileSource(
            name, getattr(settings, files.setting), setting=files.setting, s3_endpoint=settings.s3_endpoint
        )
        for name, files in pipeline.file_sets.items()
    }
    photo_database = PhotoDatabase(settings.database)
    sources: dict[str, Source] = {**file_sources, "photo_database": photo_database}
    return Installation(
        environment=environment,
        pipeline=pipeline,
        catalog=outputs.catalog,
        storage=TableStorage(outputs, environment=environment, pipeline=pipeline, sources=sources),
        file_sources=file_sources,
        photo_database=photo_database,
        classifier=ClassifierFile(settings.classifier),
    )
