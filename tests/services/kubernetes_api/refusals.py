"""How the API server refuses: a code, and a `Status` that names reason, object and causes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.services.kubernetes_api.objects import Object, Resource

CODES = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Expired": 410,
    "RequestEntityTooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "Timeout": 504,
}


class Refusal(Exception):
    """An answer that is a failure."""

    def __init__(
        self, reason: str, message: str, details: Mapping[str, Any] | None = None, code: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.code = code or CODES[reason]

    def status(self) -> Object:
        """The answer's body."""
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        return body | ({"details": self.details} if self.details else {}) | {"code": self.code}


@dataclass(frozen=True)
class Cause:
    """One field that is wrong: its path, the kind of fault, and the words."""

    field: str
    reason: str
    message: str

    @property
    def sentence(self) -> str:
        """Path and words, as the message joins them."""
        return f"{self.field}: {self.message}"


def details_of(resource: Resource, name: str = "") -> dict[str, Any]:
    """Which object a refusal is about."""
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> Refusal:
    """There is no such object."""
    return Refusal("NotFound", f'{resource.qualified} "{name}" not found', details_of(resource, name))


def already_exists(resource: Resource, name: str) -> Refusal:
    """An object of that name is there."""
    return Refusal(
        "AlreadyExists", f'{resource.qualified} "{name}" already exists', details_of(resource, name)
    )


def conflict(resource: Resource, name: str) -> Refusal:
    """The object has changed since it was read."""
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return Refusal("Conflict", message, details_of(resource, name))


def forbidden(resource: Resource, name: str, why: str) -> Refusal:
    """An authorizer or an admission plugin says no."""
    named = f'{resource.qualified} "{name}"' if name else resource.qualified
    return Refusal("Forbidden", f"{named} is forbidden: {why}", details_of(resource, name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> Refusal:
    """The object is no valid one."""
    sentences = [cause.sentence for cause in causes]
    joined = sentences[0] if len(sentences) == 1 else f"[{', '.join(sentences)}]"
    details = {"name": name, "group": resource.group, "kind": resource.kind}
    return Refusal(
        "Invalid",
        f'{resource.qualified_kind} "{name}" is invalid: {joined}',
        {key: value for key, value in details.items() if value}
        | {
            "causes": [
                {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
            ]
        },
    )


def unauthorized() -> Refusal:
    """The token is nobody's."""
    return Refusal("Unauthorized", "Unauthorized")
