"""A pod's volumes as folders of this machine, below a root of the container's own.

A process sees them where its variables lead: one whose value is a path in a volume, or the folder above some, is told the
path below that root.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tests.services.kubernetes_api.container import data_of
from tests.services.kubernetes_api.objects import CONFIG_MAPS, SECRETS, Object
from tests.services.kubernetes_api.store import Store


def fill_volume(store: Store, pod: Object, volume: Object, volumes: Path) -> None:
    """Make the volume's folder; something that is missing is a ConfigurationError."""
    its = volumes / volume["name"]
    its.mkdir(parents=True, exist_ok=True)
    for key, resource, name in (("configMap", CONFIG_MAPS, "name"), ("secret", SECRETS, "secretName")):
        if source := volume.get(key):
            reference = {"name": source[name], "optional": source.get("optional")}
            namespace = pod["metadata"]["namespace"]
            for file, text in (data_of(store, resource, namespace, reference) or {}).items():
                (its / file).write_text(text)
            held = store.find(resource, namespace, source[name]) or {}
            for file, coded in (held.get("binaryData") or {}).items():
                (its / file).write_bytes(base64.b64decode(coded))


def mount(container: Object, volumes: Path, root: Path) -> list[PurePosixPath]:
    """Put the container's volumes below its root, and give the paths at which it has them."""
    mounted = []
    mounts = container.get("volumeMounts") or []
    for each in sorted(mounts, key=lambda its: len(PurePosixPath(its["mountPath"]).parts)):
        source = volumes / each["name"] / each.get("subPath", "")
        if not source.exists():
            # a file of a ConfigMap that need not be there
            continue
        place = root / each["mountPath"].lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)
        mounted.append(PurePosixPath(each["mountPath"]))
    return mounted


def led_into(root: Path, variables: Mapping[str, str], mounted: list[PurePosixPath]) -> dict[str, str]:
    """The variables, those with a path of a volume changed to where that is on this machine."""
    return {
        name: f"{root}{value}" if value.startswith("/") and concerns(PurePosixPath(value), mounted) else value
        for name, value in variables.items()
    }


def concerns(path: PurePosixPath, mounted: list[PurePosixPath]) -> bool:
    """Whether the path is in a volume, or a volume is below it."""
    return any(path.is_relative_to(each) or each.is_relative_to(path) for each in mounted)
