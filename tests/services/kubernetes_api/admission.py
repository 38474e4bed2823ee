"""Who is let in: service accounts, PodSecurity, quotas and policies, with the words that the real plugins use."""

from __future__ import annotations

from collections.abc import Iterator

from tests.services.kubernetes_api.access import User
from tests.services.kubernetes_api.objects import (
    JOBS,
    LIMIT_RANGES,
    NAMESPACES,
    PODS,
    SERVICE_ACCOUNTS,
    Object,
    Resource,
    admission_name,
)
from tests.services.kubernetes_api.policies import check_policies
from tests.services.kubernetes_api.quotas import check_quotas
from tests.services.kubernetes_api.refusals import forbidden, not_found
from tests.services.kubernetes_api.store import Store

ENFORCE, WARN = "pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/warn"
SECCOMP = ("RuntimeDefault", "Localhost")


def admit(store: Store, user: User, resource: Resource, item: Object) -> list[str]:
    """Let a new object in, with what it is warned of, or refuse it."""
    namespace = item["metadata"].get("namespace", "")
    if resource.namespaced and store.find(NAMESPACES, "", namespace) is None:
        raise not_found(NAMESPACES, namespace)
    if resource == PODS:
        give_account(store, item)
        give_limits(store, item)
    warnings = check_pod_security(store, resource, item)
    check_policies(store, user, resource, item)
    check_quotas(store, resource, item)
    return warnings


def give_account(store: Store, pod: Object) -> None:
    """Run the pod as the account that it names, or as `default`; one that does not exist is a Refusal."""
    namespace = pod["metadata"]["namespace"]
    account = pod["spec"].setdefault("serviceAccountName", "default")
    pod["spec"]["serviceAccount"] = account
    if store.find(SERVICE_ACCOUNTS, namespace, account) is None:
        why = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
        raise forbidden(PODS, admission_name(pod), why)


def give_limits(store: Store, pod: Object) -> None:
    """Give containers the limits and requests of the namespace's LimitRanges, where they say nothing themselves."""
    for limits in store.items(LIMIT_RANGES, pod["metadata"]["namespace"]):
        for each in limits["spec"]["limits"]:
            if each["type"] != "Container":
                continue
            for container in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]:
                its, default = container.setdefault("resources", {}), each.get("default") or {}
                wanted = {**default, **(each.get("defaultRequest") or {})}
                for which, usual in (("limits", default), ("requests", wanted)):
                    its[which] = {**usual, **its.get(which, {})}


def check_pod_security(store: Store, resource: Resource, item: Object) -> list[str]:
    """Hold pods to the standard of their namespace; what makes pods is only warned."""
    namespace = store.find(NAMESPACES, "", item["metadata"].get("namespace", "")) or {"metadata": {}}
    labels = namespace["metadata"].get("labels") or {}
    spec = item["spec"] if resource == PODS else item["spec"]["template"]["spec"] if resource == JOBS else {}
    violations = ", ".join(restricted_violations(spec)) if spec else ""
    if violations and resource == PODS and labels.get(ENFORCE) == "restricted":
        raise forbidden(
            PODS, admission_name(item), f'violates PodSecurity "{level(labels, ENFORCE)}": {violations}'
        )
    if violations and labels.get(WARN) == "restricted":
        return [f'would violate PodSecurity "{level(labels, WARN)}": {violations}']
    return []


def level(labels: dict[str, str], key: str) -> str:
    """The standard and its version, as messages name them."""
    return f"{labels[key]}:{labels.get(f'{key}-version', 'latest')}"


def restricted_violations(spec: Object) -> Iterator[str]:
    """What the standard `restricted` finds wrong with a pod, of that which a pod of this project can get wrong."""
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    contexts = {each["name"]: each.get("securityContext") or {} for each in containers}
    pod = spec.get("securityContext") or {}

    def named(bad: list[str]) -> str:
        return f"{'container' if len(bad) == 1 else 'containers'} {quoted(bad)}"

    if host := [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]:
        yield f"host namespaces ({', '.join(f'{key}=true' for key in host)})"
    if bad := [name for name, context in contexts.items() if context.get("privileged")]:
        yield f"privileged ({named(bad)} must not set securityContext.privileged=true)"
    if bad := [n for n, context in contexts.items() if context.get("allowPrivilegeEscalation") is not False]:
        yield (
            "allowPrivilegeEscalation != false "
            f"({named(bad)} must set securityContext.allowPrivilegeEscalation=false)"
        )
    if bad := [
        n for n, c in contexts.items() if "ALL" not in ((c.get("capabilities") or {}).get("drop") or [])
    ]:
        yield f'unrestricted capabilities ({named(bad)} must set securityContext.capabilities.drop=["ALL"])'
    if bad := [volume["name"] for volume in spec.get("volumes") or [] if "hostPath" in volume]:
        word = "volume" if len(bad) == 1 else "volumes"
        yield f'restricted volume types ({word} {quoted(bad)} uses restricted volume type "hostPath")'
    if bad := [n for n, c in contexts.items() if not c.get("runAsNonRoot", pod.get("runAsNonRoot"))]:
        yield f"runAsNonRoot != true (pod or {named(bad)} must set securityContext.runAsNonRoot=true)"
    roots = [name for name, context in contexts.items() if context.get("runAsUser") == 0]
    if who := (["pod"] if pod.get("runAsUser") == 0 else []) + ([named(roots)] if roots else []):
        yield f"runAsUser=0 ({' and '.join(who)} must not set runAsUser=0)"
    if bad := [n for n, c in contexts.items() if seccomp(c, pod) not in SECCOMP]:
        yield (
            f"seccompProfile (pod or {named(bad)} must set securityContext.seccompProfile.type "
            'to "RuntimeDefault" or "Localhost")'
        )


def quoted(names: list[str]) -> str:
    """Names as messages list them."""
    return ", ".join(f'"{name}"' for name in names)


def seccomp(container: Object, pod: Object) -> str | None:
    """The profile that a container runs under."""
    profile = container.get("seccompProfile") or pod.get("seccompProfile") or {}
    kind: str | None = profile.get("type")
    return kind
