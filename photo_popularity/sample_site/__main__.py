"""Command line of the generator: `python -m photo_popularity.sample_site FOLDER [--seed N]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from photo_popularity.domain.errors import InputError
from photo_popularity.sample_site.generate import generate_site


def main() -> int:
    """Generate a sample site and print what happens; 2 when the folder cannot take it."""
    parser = argparse.ArgumentParser(
        prog="python -m photo_popularity.sample_site", description="Generate a sample photo site."
    )
    parser.add_argument(
        "folder", type=Path, help="where to put it: a new or an empty folder, or an earlier sample site"
    )
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    arguments = parser.parse_args()
    try:
        generate_site(arguments.folder, seed=arguments.seed, progress=lambda line: print(line, flush=True))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
