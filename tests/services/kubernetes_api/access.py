"""Who asks, by bearer token, and whether roles allow it: authentication and RBAC."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from tests.services.kubernetes_api.objects import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    Object,
    Resource,
)
from tests.services.kubernetes_api.refusals import forbidden, unauthorized
from tests.services.kubernetes_api.store import Store

EVERYTHING_GROUP = "system:masters"


@dataclass(frozen=True)
class User:
    """Who a request comes from."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)


@dataclass(frozen=True)
class Attempt:
    """What a request wants to do, as an authorizer sees it."""

    verb: str
    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def path(self) -> str:
        """Resource and subresource, as rules name them."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


ADMINISTRATOR = User("kubernetes-admin", (EVERYTHING_GROUP, "system:authenticated"))
JOB_CONTROLLER = User(
    "system:serviceaccount:kube-system:job-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"),
)


def service_account_user(namespace: str, account: str) -> User:
    """The user that a pod of this account is."""
    return User(
        f"system:serviceaccount:{namespace}:{account}",
        ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"),
    )


class Access:
    """Tokens, and the question whether somebody may."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.administrator_token = secrets.token_urlsafe(24)
        self._users = {self.administrator_token: ADMINISTRATOR}
        # who has asked for what, and was allowed to: the verbs that a role needs
        self.used: set[tuple[str, str, str]] = set()

    def token(self, namespace: str, account: str) -> str:
        """A new token of a service account, which need not exist."""
        token = secrets.token_urlsafe(24)
        self._users[token] = service_account_user(namespace, account)
        return token

    def revoke(self, token: str) -> None:
        """Make a token worth nothing."""
        del self._users[token]

    def user(self, authorization: str | None) -> User:
        """Whose token the header carries; a missing or unknown one is a Refusal."""
        kind, _, token = (authorization or "").partition(" ")
        user = self._users.get(token.strip()) if kind.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def require(self, user: User, attempt: Attempt) -> None:
        """Return if roles allow it, else refuse."""
        if self.allows(user, attempt):
            self.used.add((user.name, attempt.verb, f"{attempt.path}.{attempt.resource.group}".rstrip(".")))
            return
        where = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
        raise forbidden(
            attempt.resource,
            attempt.name,
            f'User "{user.name}" cannot {attempt.verb} resource "{attempt.path}" in API group '
            f'"{attempt.resource.group}" {where}',
        )

    def allows(self, user: User, attempt: Attempt) -> bool:
        """Whether a rule of a role that is bound to the user covers the attempt."""
        if EVERYTHING_GROUP in user.groups:
            return True
        bindings = self._store.items(CLUSTER_ROLE_BINDINGS)
        if attempt.namespace:
            bindings += self._store.items(ROLE_BINDINGS, attempt.namespace)
        return any(
            covers(rule, attempt)
            for binding in bindings
            if any(
                names(subject, user, binding["metadata"].get("namespace", ""))
                for subject in binding.get("subjects") or []
            )
            for rule in self._rules(binding)
        )

    def _rules(self, binding: Object) -> list[Object]:
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.find(CLUSTER_ROLES, "", reference["name"])
        else:
            role = self._store.find(ROLES, binding["metadata"]["namespace"], reference["name"])
        return list((role or {}).get("rules") or [])


def names(subject: Object, user: User, namespace: str) -> bool:
    """Whether a subject of a binding is this user or a group of theirs."""
    if subject["kind"] == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{subject['name']}"
    return subject["name"] in (user.groups if subject["kind"] == "Group" else (user.name,))


def granted(rules: Iterable[Object]) -> set[tuple[str, str]]:
    """Verbs and paths that rules name, as `Access.used` has them."""
    return {
        (verb, f"{resource}.{group}".rstrip("."))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def covers(rule: Object, attempt: Attempt) -> bool:
    """Whether a rule of a role covers the attempt."""
    wanted = (
        ("verbs", {attempt.verb}),
        ("apiGroups", {attempt.resource.group}),
        ("resources", {attempt.path, f"*/{attempt.subresource}" if attempt.subresource else attempt.path}),
    )
    if not all({"*", *values} & set(rule.get(key) or []) for key, values in wanted):
        return False
    only = rule.get("resourceNames") or []
    return not only or attempt.name in only
