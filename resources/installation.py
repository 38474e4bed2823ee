"""One environment's working set: catalog, storage and sources, made once and shared by all that need them."""

from __future__ import annotations

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
    photo_files: FileSource
    log_files: FileSource
    photo_database: PhotoDatabase
    classifier: ClassifierFile

    @property
    def file_sources(self) -> dict[str, FileSource]:
        """The sources whose partitions are files, by the name of their partitions."""
        return {"photo_files": self.photo_files, "log_files": self.log_files}


def install(environment: Environment, pipeline: Pipeline) -> Installation:
    """The working set of an environment."""
    settings, outputs = environment.settings, read_outputs(environment)
    photo_files = FileSource(
        "photo_files", settings.photos, setting="photos", s3_endpoint=settings.s3_endpoint
    )
    log_files = FileSource("log_files", settings.logs, setting="logs", s3_endpoint=settings.s3_endpoint)
    photo_database = PhotoDatabase(settings.database)
    sources: dict[str, Source] = {
        "photo_files": photo_files,
        "log_files": log_files,
        "photo_database": photo_database,
    }
    return Installation(
        environment=environment,
        pipeline=pipeline,
        catalog=outputs.catalog,
        storage=TableStorage(outputs, environment=environment, pipeline=pipeline, sources=sources),
        photo_files=photo_files,
        log_files=log_files,
        photo_database=photo_database,
        classifier=ClassifierFile(settings.classifier),
    )
