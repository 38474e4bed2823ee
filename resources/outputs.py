"""The current outputs of one environment for those who only read: its catalog, and where each file lies.

No Dagster here: a question on the command line should not wait for it. What a step loads and commits is
`table_storage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from resources.catalog import Catalog, PublishedOutputs
from resources.catalog_records import Output
from resources.environment import Environment
from resources.storage import FileStorage

MODEL_SUFFIX = ".skops"


@dataclass(frozen=True)
class OutputReader:
    """The catalog of an environment, and its files by the label of the environment that made them."""

    catalog: Catalog
    files: dict[str, FileStorage]

    def url(self, output: Output) -> str:
        """Full path or URL of the output's file."""
        return self.files[output.environment].url(output.path)

    def exists(self, output: Output) -> bool:
        """Whether the output's file is there, and its card if it is a model."""
        made = [output, beside(output, ".json")] if output.path.endswith(MODEL_SUFFIX) else [output]
        return all(self.files[one.environment].exists(one.path) for one in made)

    def read(self, output: Output) -> bytes:
        """The bytes of the output's file; raises FileNotFoundError when it is not there."""
        return self.files[output.environment].read(output.path)


def beside(output: Output, suffix: str) -> Output:
    """The file that lies beside the output's own under another suffix: `.json` for a model's card."""
    return output._replace(path=output.path.rpartition(".")[0] + suffix)


def read_outputs(environment: Environment) -> OutputReader:
    """The outputs of an environment; those that a staging one has inherited lie in production's storage."""
    production = environment.production
    published = (
        PublishedOutputs(production.catalog_url, schema=production.catalog_schema) if production else None
    )
    catalog = Catalog(environment.catalog_url, schema=environment.catalog_schema, published=published)
    made_by = [environment, production] if production else [environment]
    endpoint = environment.settings.s3_endpoint
    return OutputReader(
        catalog, {e.label: FileStorage(e.storage_root, s3_endpoint=endpoint) for e in made_by}
    )
