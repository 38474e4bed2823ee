"""`python -m tests.services.kubernetes_api FOLDER`: the server by itself, until it is told to end.

The administrator's kubeconfig is `FOLDER/kubeconfig-admin.yaml`.
"""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.services.kubernetes_api.server import KubernetesApi


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.services.kubernetes_api", description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="an empty folder, for all that the server and its pods write"
    )
    parser.add_argument(
        "--variable", action="append", default=[], metavar="NAME=VALUE", help="what every pod's process finds"
    )
    given = parser.parse_args()
    told_to_end = threading.Event()
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, lambda *_: told_to_end.set())
    given.folder.mkdir(parents=True, exist_ok=True)
    api = KubernetesApi(given.folder.absolute(), dict(each.split("=", 1) for each in given.variable))
    api.start()
    print(api.kubeconfig, flush=True)
    told_to_end.wait()
    api.stop()


if __name__ == "__main__":
    main()
