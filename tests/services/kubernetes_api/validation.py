"""Which objects are valid, in the API server's own words: names, labels, and what a Job and a Pod must have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.services.kubernetes_api.objects import (
    ADMISSION,
    JOBS,
    NAMESPACES,
    PODS,
    RBAC,
    Object,
    Resource,
)
from tests.services.kubernetes_api.refusals import Cause, invalid

SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
VARIABLE = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
NOT_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
NOT_A_DNS_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{DNS_LABEL}')"
)
NOT_A_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    f"validation is '{LABEL_VALUE}')"
)

MAY_CHANGE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
    "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)


def check(resource: Resource, item: Object) -> None:
    """Refuse an object that is not valid, with all its faults."""
    causes = list(faults(resource, item))
    if causes:
        raise invalid(resource, item["metadata"].get("name", ""), causes)


def faults(resource: Resource, item: Object) -> Iterator[Cause]:
    """What is wrong with the object."""
    yield from metadata_faults(resource, item)
    if resource == JOBS:
        yield from job_faults(item)
    if resource == PODS:
        yield from pod_faults(item.get("spec") or {}, "spec")


def metadata_faults(resource: Resource, item: Object) -> Iterator[Cause]:
    """Names that are none, and labels whose values are none."""
    metadata = item["metadata"]
    name = metadata.get("name", "")
    if not name and not metadata.get("generateName"):
        yield Cause("metadata.name", "FieldValueRequired", "Required value: name or generateName is required")
    if resource.group not in (RBAC, ADMISSION) and name:
        label_only = resource == NAMESPACES
        if not re.fullmatch(DNS_LABEL if label_only else SUBDOMAIN, name):
            yield bad_value("metadata.name", name, NOT_A_DNS_LABEL if label_only else NOT_A_SUBDOMAIN)
        longest = 63 if label_only else 253
        if len(name) > longest:
            yield bad_value("metadata.name", name, f"must be no more than {longest} characters")
    yield from label_faults(metadata.get("labels") or {}, "metadata.labels")


def label_faults(labels: dict[str, str], path: str) -> Iterator[Cause]:
    """Values that no label can have."""
    for value in labels.values():
        if len(value) > 63:
            yield bad_value(path, value, "must be no more than 63 characters")
        if not re.fullmatch(LABEL_VALUE, value):
            yield bad_value(path, value, NOT_A_LABEL_VALUE)


def job_faults(job: Object) -> Iterator[Cause]:
    """What a Job lacks, or has and may not."""
    spec = job.get("spec") or {}
    template = spec.get("template") or {}
    for key in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"):
        if (spec.get(key) or 0) < 0:
            yield bad_value(f"spec.{key}", spec[key], "must be greater than or equal to 0")
    yield from label_faults((template.get("metadata") or {}).get("labels") or {}, "spec.template.labels")
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy == "Always":
        yield Cause(
            "spec.template.spec.restartPolicy",
            "FieldValueRequired",
            'Required value: valid values: "OnFailure", "Never"',
        )
    yield from pod_faults(template.get("spec") or {}, "spec.template.spec")


def pod_faults(spec: Object, path: str) -> Iterator[Cause]:
    """What a pod lacks, or has and may not."""
    containers = spec.get("containers") or []
    if not containers:
        yield Cause(f"{path}.containers", "FieldValueRequired", "Required value")
    volumes = {volume["name"] for volume in spec.get("volumes") or []}
    for index, container in enumerate(containers):
        where = f"{path}.containers[{index}]"
        for key in ("name", "image"):
            if not container.get(key):
                yield Cause(f"{where}.{key}", "FieldValueRequired", "Required value")
        for number, variable in enumerate(container.get("env") or []):
            if not re.fullmatch(VARIABLE, variable.get("name", "")):
                yield bad_value(
                    f"{where}.env[{number}].name",
                    variable.get("name", ""),
                    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or "
                    "'.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', "
                    f"regex used for validation is '{VARIABLE}')",
                )
        for number, mount in enumerate(container.get("volumeMounts") or []):
            if mount["name"] not in volumes:
                name = mount["name"]
                yield Cause(
                    f"{where}.volumeMounts[{number}].name", "FieldValueNotFound", f'Not found: "{name}"'
                )


def check_update(resource: Resource, before: Object, after: Object) -> None:
    """Refuse to change what cannot change: a Job's template, and nearly all of a Pod's spec."""
    if resource == JOBS and before["spec"]["template"] != after.get("spec", {}).get("template"):
        cause = bad_value("spec.template", "object", "field is immutable")
        raise invalid(resource, before["metadata"]["name"], [cause])
    if resource == PODS and without_tolerated(before) != without_tolerated(after):
        cause = Cause(
            "spec",
            "FieldValueForbidden",
            "Forbidden: pod updates may not change fields other than " + MAY_CHANGE,
        )
        raise invalid(resource, before["metadata"]["name"], [cause])


def without_tolerated(pod: Object) -> Object:
    """A pod's spec without what may change in it."""
    spec = {
        key: value
        for key, value in pod["spec"].items()
        if key not in ("activeDeadlineSeconds", "tolerations")
    }
    return spec | {"containers": [container | {"image": ""} for container in spec["containers"]]}


def bad_value(path: str, value: object, why: str) -> Cause:
    """The cause that quotes the value."""
    quoted = f'"{value}"' if isinstance(value, str) else value
    return Cause(path, "FieldValueInvalid", f"Invalid value: {quoted}: {why}")
