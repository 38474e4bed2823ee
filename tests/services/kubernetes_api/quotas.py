"""ResourceQuota: how much of what a namespace's objects may take together."""

from __future__ import annotations

from decimal import Decimal

from tests.services.kubernetes_api.objects import PODS, QUOTAS, Object, Resource, admission_name, name_of
from tests.services.kubernetes_api.refusals import forbidden
from tests.services.kubernetes_api.store import Store

UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def check_quotas(store: Store, resource: Resource, item: Object) -> None:
    """Refuse what would go beyond a quota of the namespace, or does not say how much it wants of what one limits."""
    for quota in store.items(QUOTAS, item["metadata"].get("namespace", "")):
        hard = {
            key: value
            for key, value in quota["spec"]["hard"].items()
            if wanted(resource, item, key) is not None
        }
        name = admission_name(item)
        if missing := sorted(key for key in hard if wanted(resource, item, key) == Decimal(-1)):
            silent = "; ".join(f"{key} for: {','.join(without(item, key))}" for key in missing)
            raise forbidden(resource, name, f"failed quota: {name_of(quota)}: must specify {silent}")
        used = {key: sum_of(store, resource, item, key) for key in hard}
        beyond = sorted(key for key in hard if used[key] + asked(resource, item, key) > quantity(hard[key]))
        if beyond:

            def listed(values: dict[str, str], keys: list[str] = beyond) -> str:
                return ",".join(f"{key}={values[key]}" for key in keys)

            why = (
                f"exceeded quota: {name_of(quota)}, "
                f"requested: {listed({key: shown(key, asked(resource, item, key)) for key in beyond})}, "
                f"used: {listed({key: shown(key, used[key]) for key in beyond})}, "
                f"limited: {listed(hard)}"
            )
            raise forbidden(resource, name, why)


def asked(resource: Resource, item: Object, key: str) -> Decimal:
    """How much of a limited resource this object takes."""
    return wanted(resource, item, key) or Decimal(0)


def wanted(resource: Resource, item: Object, key: str) -> Decimal | None:
    """How much the object takes of it: None if the quota does not concern it, -1 if it does not say."""
    if key in (f"count/{resource.qualified}", "pods" if resource == PODS else ""):
        return Decimal(1)
    if resource != PODS or "/" in key or key == "pods":
        return None
    if without(item, key):
        return Decimal(-1)
    which, name = kind_of_limit(key)
    return sum(
        (quantity(container["resources"][which][name]) for container in item["spec"]["containers"]),
        Decimal(0),
    )


def without(pod: Object, key: str) -> list[str]:
    """The containers that say nothing about a limited resource."""
    which, name = kind_of_limit(key)
    containers = pod["spec"]["containers"]
    return [each["name"] for each in containers if name not in (each["resources"].get(which) or {})]


def kind_of_limit(key: str) -> tuple[str, str]:
    """`limits.memory` and `requests.memory`, or `memory`, which means requests."""
    which, _, name = key.rpartition(".")
    return which or "requests", name


def sum_of(store: Store, resource: Resource, item: Object, key: str) -> Decimal:
    """What the namespace's objects take already; a pod that has ended takes nothing."""
    others = store.items(resource, item["metadata"]["namespace"])
    alive = [each for each in others if each.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    known = (wanted(resource, each, key) for each in alive)
    return sum((value for value in known if value is not None and value >= 0), Decimal(0))


def quantity(text: str) -> Decimal:
    """A quantity as a number: `512Mi`, `0.5`, `500m`."""
    if text.endswith("m"):
        return Decimal(text[:-1]) / 1000
    for unit, factor in UNITS.items():
        if text.endswith(unit):
            return Decimal(text[: -len(unit)]) * factor
    return Decimal(text)


def shown(key: str, amount: Decimal) -> str:
    """A quantity as messages have it."""
    if "memory" in key or "storage" in key:
        for unit in ("Gi", "Mi", "Ki"):
            if amount and amount % UNITS[unit] == 0:
                return f"{int(amount / UNITS[unit])}{unit}"
    return str(int(amount)) if amount % 1 == 0 else f"{int(amount * 1000)}m"
