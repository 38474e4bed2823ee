"""What the API server fills in where a Job or a Pod says nothing."""

from __future__ import annotations

from tests.services.kubernetes_api.objects import JOBS, NAMESPACES, PODS, Object, Resource

JOB_TRACKING = "batch.kubernetes.io/job-tracking"
JOB_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"


def fill(resource: Resource, item: Object) -> None:
    """Set the defaults of a new object."""
    if resource == JOBS:
        fill_job(item)
    if resource == PODS:
        fill_pod_spec(item["spec"])
        item["status"] = {"phase": "Pending", "qosClass": quality_of_service(item["spec"])}
    if resource == NAMESPACES:
        item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = item["metadata"]["name"]
        item.setdefault("status", {"phase": "Active"})


def fill_job(job: Object) -> None:
    """Defaults of a Job, before it has a uid."""
    spec = job["spec"]
    defaults = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "manualSelector": False,
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    template = spec["template"]
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    job["metadata"].setdefault("labels", dict(labels))
    fill_pod_spec(template["spec"])
    job["status"] = {}


def bind_to_uid(job: Object) -> None:
    """Let the Job select the pods that carry its uid."""
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    job["spec"]["template"]["metadata"]["labels"] |= {
        JOB_UID: uid,
        JOB_NAME: name,
        "controller-uid": uid,
        "job-name": name,
    }
    job["spec"]["selector"] = {"matchLabels": {JOB_UID: uid}}


def fill_pod_spec(spec: Object) -> None:
    """Defaults of a pod's spec and of its containers."""
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in spec.get("containers") or []:
        tag = container.get("image", "").rpartition("/")[2]
        latest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
        for name, limit in (container["resources"].get("limits") or {}).items():
            container["resources"].setdefault("requests", {}).setdefault(name, limit)


def quality_of_service(spec: Object) -> str:
    """The pod's class: what the kubelet evicts last, in between, and first."""
    resources = [container["resources"] for container in spec.get("containers") or []]
    if not any(each.get("limits") or each.get("requests") for each in resources):
        return "BestEffort"
    guaranteed = all(
        each.get("limits", {}).keys() >= {"cpu", "memory"} and each["limits"] == each.get("requests")
        for each in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"
