"""Reading a body as a kind of object: unknown fields and wrong types, by the API's published schemas."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.services.kubernetes_api.objects import Object, Resource
from tests.services.kubernetes_api.refusals import Refusal

RELEASE = "1.32"
GO_TYPES = {"string": "string", "boolean": "bool", "integer": "int32", "object": "map", "array": "slice"}


class WrongTypeError(Exception):
    """A value that its field's type cannot hold."""


def decode(resource: Resource, body: Any, validation: str) -> tuple[Object, list[str]]:
    """The object without its unknown fields, and a warning for each; `Strict` refuses them, `Ignore` warns of none."""
    if not isinstance(body, dict):
        raise Refusal("BadRequest", "couldn't get version/kind; json parse error: the body is no object")
    said = (body.get("apiVersion", resource.api_version), body.get("kind", resource.kind))
    if said != (resource.api_version, resource.kind):
        raise Refusal(
            "BadRequest",
            f"{resource.kind} in version {resource.version!r} cannot be handled as a {resource.kind}: "
            f"the object is a {said[1]} of {said[0]}",
        )
    unknown: list[str] = []
    try:
        item = known(body, schema(resource), "", unknown)
    except WrongTypeError as error:
        raise cannot_be_handled(resource, str(error)) from None
    if unknown and validation == "Strict":
        raise cannot_be_handled(resource, "strict decoding error: " + ", ".join(unknown))
    item |= {"apiVersion": resource.api_version, "kind": resource.kind}
    return item, unknown if validation == "Warn" else []


def cannot_be_handled(resource: Resource, why: str) -> Refusal:
    """The refusal of a body that is no object of this kind."""
    return Refusal(
        "BadRequest",
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}',
    )


def known(value: Any, rules: dict[str, Any], path: str, unknown: list[str]) -> Any:
    """The value with the fields that its schema knows; the others' paths go to `unknown`."""
    rules = resolved(rules)
    if value is None:
        return None
    check_type(value, rules, path)
    if isinstance(value, list):
        return [
            known(each, rules.get("items", {}), f"{path}[{index}]", unknown)
            for index, each in enumerate(value)
        ]
    if not isinstance(value, dict):
        return value
    fields, others = rules.get("properties", {}), rules.get("additionalProperties", True)
    kept = {}
    for name, each in value.items():
        where = f"{path}.{name}" if path else name
        if name in fields:
            kept[name] = known(each, fields[name], where, unknown)
        elif others is False:
            unknown.append(f'unknown field "{where}"')
        else:
            kept[name] = known(each, others, where, unknown) if isinstance(others, dict) else each
    return kept


def check_type(value: Any, rules: dict[str, Any], path: str) -> None:
    """Refuse a value whose JSON type is none that the schema names."""
    named = rules.get("type")
    allowed = set(named if isinstance(named, list) else [named] if named else [])
    found = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}[
        type(value)
    ]
    if not allowed or found in allowed or (found == "integer" and "number" in allowed):
        return
    wanted = next(GO_TYPES[name] for name in sorted(allowed) if name in GO_TYPES)
    word = {"boolean": "bool", "integer": "number"}.get(found, found)
    raise WrongTypeError(f"json: cannot unmarshal {word} into Go struct field .{path} of type {wanted}")


def resolved(rules: dict[str, Any]) -> dict[str, Any]:
    """The schema itself, where it is only a reference to one."""
    reference = rules.get("$ref")
    if reference is None:
        return rules
    found: dict[str, Any] = definitions()["$defs"][reference.rpartition("/")[2]]
    return resolved(found)


def schema(resource: Resource) -> dict[str, Any]:
    """The schema of a resource's objects."""
    group = resource.group.partition(".")[0]
    return load(f"{'-'.join(filter(None, [resource.kind.lower(), group, resource.version]))}.json")


def definitions() -> dict[str, Any]:
    """The schemas that the others refer to."""
    return load("_definitions.json")


@cache
def load(name: str) -> dict[str, Any]:
    """One file of schemas, of the release that the server says it is."""
    package = find_spec("kubernetes_validate")
    if package is None or package.origin is None:
        raise RuntimeError("The test's API server reads the schemas of kubernetes-validate: install it.")
    folder = Path(package.origin).parent / "kubernetes-json-schema" / f"v{RELEASE}.0-local-strict"
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found
