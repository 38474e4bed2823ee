"""ValidatingAdmissionPolicy: the policy's own CEL expressions, evaluated by cel-python."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from tests.services.kubernetes_api.access import User
from tests.services.kubernetes_api.objects import (
    NAMESPACES,
    POLICIES,
    POLICY_BINDINGS,
    Object,
    Resource,
    admission_name,
    name_of,
)
from tests.services.kubernetes_api.refusals import CODES, Refusal, forbidden
from tests.services.kubernetes_api.selectors import labels_of
from tests.services.kubernetes_api.store import Store


def check_policies(store: Store, user: User, resource: Resource, item: Object) -> None:
    """Refuse what a bound policy denies; an expression that fails is what `failurePolicy` says."""
    for binding in store.items(POLICY_BINDINGS):
        policy = store.find(POLICIES, "", binding["spec"]["policyName"])
        if policy is None or "Deny" not in binding["spec"].get("validationActions", []):
            continue
        rules = policy["spec"].get("matchConstraints", {}).get("resourceRules") or []
        if not any(concerns(rule, resource) for rule in rules):
            continue
        if not in_scope(store, policy, binding, item):
            continue
        deny(policy, binding, resource, item, activation(store, user, resource, item))


def deny(policy: Object, binding: Object, resource: Resource, item: Object, known: dict[str, Any]) -> None:
    """Evaluate one policy, and refuse in the API server's words if a validation is false."""
    spec = policy["spec"]
    try:
        variables: dict[str, Any] = {}
        for variable in spec.get("variables") or []:
            variables[variable["name"]] = evaluate(variable["expression"], known | {"variables": variables})
        known = known | {"variables": variables}
        if not all(evaluate(each["expression"], known) for each in spec.get("matchConditions") or []):
            return
        for validation in spec.get("validations") or []:
            if not evaluate(validation["expression"], known):
                words = message(validation, known)
                raise refusal(resource, item, policy, binding, words, validation.get("reason", "Invalid"))
    except ExpressionError as error:
        if spec.get("failurePolicy", "Fail") == "Fail":
            raise refusal(resource, item, policy, binding, str(error), "Invalid") from error


def refusal(
    resource: Resource, item: Object, policy: Object, binding: Object, words: str, reason: str
) -> Refusal:
    """What the API server answers when a policy denies: `is forbidden`, though the reason is the validation's."""
    denied = f"ValidatingAdmissionPolicy '{name_of(policy)}' with binding '{name_of(binding)}' denied request: {words}"
    answer = forbidden(resource, admission_name(item), denied)
    return Refusal(
        reason, answer.message, answer.details | {"causes": [{"message": denied}]}, code=CODES[reason]
    )


def message(validation: Object, known: dict[str, Any]) -> str:
    """What a validation says: its message expression, its message, or the expression itself."""
    if "messageExpression" in validation:
        return str(evaluate(validation["messageExpression"], known))
    text: str = validation.get("message") or f"failed expression: {validation['expression']}"
    return text


def concerns(rule: Object, resource: Resource) -> bool:
    """Whether a policy's rule means new objects of this resource."""
    wanted = (
        ("apiGroups", resource.group),
        ("apiVersions", resource.version),
        ("resources", resource.plural),
        ("operations", "CREATE"),
    )
    return all({"*", value} & set(rule.get(key) or []) for key, value in wanted)


def in_scope(store: Store, policy: Object, binding: Object, item: Object) -> bool:
    """Whether the namespace's labels are those that policy and binding select."""
    namespace = store.find(NAMESPACES, "", item["metadata"].get("namespace", ""))
    labels = labels_of(namespace) if namespace else {}
    constraints = (policy["spec"].get("matchConstraints"), binding["spec"].get("matchResources"))
    return all(selects((each or {}).get("namespaceSelector") or {}, labels) for each in constraints)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector means what has these labels."""
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    return wanted.items() <= labels.items() and all(expression_holds(each, labels) for each in expressions)


def expression_holds(expression: Object, labels: Mapping[str, str]) -> bool:
    """One requirement of a label selector's `matchExpressions`."""
    found, values = labels.get(expression["key"]), expression.get("values") or []
    return {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }[expression["operator"]]


def activation(store: Store, user: User, resource: Resource, item: Object) -> dict[str, Any]:
    """The variables that an expression sees."""
    json_to_cel = cel().json_to_cel
    namespace = item["metadata"].get("namespace", "")
    seen = {
        "object": item,
        "oldObject": None,
        "params": None,
        "namespaceObject": store.find(NAMESPACES, "", namespace),
        "request": {
            "operation": "CREATE",
            "namespace": namespace,
            "name": item["metadata"].get("name", ""),
            "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
            "userInfo": {"username": user.name, "groups": list(user.groups)},
        },
    }
    return {name: json_to_cel(value) for name, value in seen.items()}


def cel() -> Any:
    """The evaluator of expressions, which only a server with policies needs."""
    try:
        return import_module("celpy")
    except ModuleNotFoundError:
        raise RuntimeError("A test's API server evaluates policies with cel-python: install it.") from None


class ExpressionError(Exception):
    """An expression that cannot be compiled, or not be evaluated for this object."""


@cache
def compiled(expression: str) -> Any:
    """The expression's program, which takes far longer to make than to run."""
    environment = cel().Environment()
    return environment.program(environment.compile(expression))


def evaluate(expression: str, known: dict[str, Any]) -> Any:
    """The value of an expression."""
    celpy = cel()
    values = known | {"variables": celpy.celtypes.MapType(known.get("variables", {}))}
    try:
        return compiled(expression).evaluate(values)
    except (celpy.CELEvalError, celpy.CELParseError) as error:
        raise ExpressionError(f"expression '{expression}' resulted in error: {error.args[0]}") from error
