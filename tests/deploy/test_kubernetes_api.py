"""The test's API server answers as the real one: codes, bodies, and what becomes of Jobs and pods."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.cluster import Cluster
from tests.services.kubernetes_api.faults import PodFault, RequestFault
from tests.services.kubernetes_api.objects import EVENTS, JOBS, PODS, Object
from tests.services.kubernetes_api.server import KubernetesApi, kubernetes_api

kubernetes = pytest.importorskip("kubernetes")
SECONDS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[KubernetesApi]:
    with kubernetes_api() as api:
        yield api


@pytest.fixture
def api(server: KubernetesApi, request: pytest.FixtureRequest) -> Iterator[KubernetesApi]:
    yield server
    server.faults.clear()


@pytest.fixture
def batch(api: KubernetesApi) -> Any:
    return kubernetes.client.BatchV1Api(client_of(api))


@pytest.fixture
def core(api: KubernetesApi) -> Any:
    return kubernetes.client.CoreV1Api(client_of(api))


def client_of(api: KubernetesApi, token: str = "") -> Any:
    kubeconfig = api.kubeconfig_of(token, "default", "client") if token else api.kubeconfig
    return kubernetes.config.new_client_from_config(str(kubeconfig))


def job(name: str, script: str = "true", **spec: Any) -> Object:
    container = {"name": "work", "image": "photos:1", "command": ["sh", "-c", script]}
    pod = {"restartPolicy": "Never", "containers": [container], **spec.pop("pod", {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": {"name": name}}, "spec": pod},
            **spec,
        },
    }


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (result := found()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return result


def pod_of(api: KubernetesApi, name: str, phase: str) -> Object:
    def found() -> Object | None:
        pods = [pod for pod in api.items(PODS) if pod["metadata"]["labels"].get("name") == name]
        return next((pod for pod in pods if pod["status"]["phase"] == phase), None)

    pod: Object = until(found)
    return pod


def events_of(api: KubernetesApi, name: str, reason: str) -> list[Object]:
    return [
        event
        for event in api.items(EVENTS)
        if event["reason"] == reason and event["involvedObject"]["name"].startswith(name)
    ]


def log_of(core: Any, name: str, **options: Any) -> str:
    # the client's own conversion to text is broken since its release 36 (its issue 2596)
    answer = core.read_namespaced_pod_log(name, "default", _preload_content=False, **options)
    text: str = answer.data.decode()
    return text


def refused(call: Callable[[], Any]) -> Object:
    with pytest.raises(kubernetes.client.ApiException) as error:
        call()
    body: Object = json.loads(error.value.body)
    assert body["code"] == error.value.status
    return body


def test_a_job_runs_its_command_for_real(api: KubernetesApi, batch: Any, core: Any) -> None:
    made = batch.create_namespaced_job("default", job("works", "echo one; echo two >&2"))
    assert made.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": made.metadata.uid}
    until(lambda: batch.read_namespaced_job_status("works", "default").status.succeeded)
    (pod,) = core.list_namespaced_pod("default", label_selector="job-name=works").items
    assert pod.status.phase == "Succeeded"
    assert pod.status.container_statuses[0].state.terminated.reason == "Completed"
    assert log_of(core, pod.metadata.name) == "one\ntwo\n"
    assert log_of(core, pod.metadata.name, tail_lines=1) == "two\n"
    conditions = batch.read_namespaced_job("works", "default").status.conditions
    assert [condition.type for condition in conditions] == ["SuccessCriteriaMet", "Complete"]


def test_what_it_stores_is_valid_by_the_published_schemas(api: KubernetesApi, batch: Any) -> None:
    validate = pytest.importorskip("kubernetes_validate").validate

    batch.create_namespaced_job("default", job("valid", "exit 3"))
    until(lambda: batch.read_namespaced_job("valid", "default").status.conditions)
    items = [*api.items(JOBS), *api.items(PODS), *api.items(EVENTS)]
    assert len(items) >= 4
    for item in items:
        validate(item, "1.32", strict=True)


def test_a_failed_job_says_that_it_has_reached_its_limit(api: KubernetesApi, batch: Any) -> None:
    batch.create_namespaced_job("default", job("fails", "exit 3"))
    status = until(lambda: (s := batch.read_namespaced_job("fails", "default").status).conditions and s)
    assert (status.failed, status.active, status.succeeded) == (1, None, None)
    until(lambda: len(batch.read_namespaced_job("fails", "default").status.conditions) == 2)
    failed = batch.read_namespaced_job("fails", "default").status.conditions[-1]
    assert (failed.type, failed.reason) == ("Failed", "BackoffLimitExceeded")
    assert failed.message == "Job has reached the specified backoff limit"
    terminated = pod_of(api, "fails", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (3, "Error")


def test_a_name_that_is_taken_is_a_conflict(batch: Any) -> None:
    batch.create_namespaced_job("default", job("twice"))
    status = refused(lambda: batch.create_namespaced_job("default", job("twice")))
    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'jobs.batch "twice" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "twice", "group": "batch", "kind": "jobs"},
        "code": 409,
    }


def test_what_is_not_there_is_not_found(batch: Any, core: Any) -> None:
    assert refused(lambda: batch.read_namespaced_job("nobody", "default"))["details"] == {
        "name": "nobody",
        "group": "batch",
        "kind": "jobs",
    }
    status = refused(lambda: core.read_namespaced_pod("nobody", "default"))
    assert (status["reason"], status["message"]) == ("NotFound", 'pods "nobody" not found')
    elsewhere = refused(lambda: batch.create_namespaced_job("nowhere", job("lost")))
    assert elsewhere["message"] == 'namespaces "nowhere" not found'


def test_an_invalid_object_is_refused_with_every_fault(batch: Any) -> None:
    wrong = job("Bad_Name")
    wrong["spec"]["template"]["spec"] |= {"restartPolicy": "Always"}
    wrong["spec"]["template"]["metadata"]["labels"]["run"] = "x" * 64
    status = refused(lambda: batch.create_namespaced_job("default", wrong))
    assert (status["reason"], status["code"]) == ("Invalid", 422)
    assert [cause["field"] for cause in status["details"]["causes"]] == [
        "metadata.name",
        "spec.template.labels",
        "spec.template.spec.restartPolicy",
    ]
    assert status["message"].startswith('Job.batch "Bad_Name" is invalid: [metadata.name: Invalid value: ')


def test_an_unknown_field_is_dropped_with_a_warning_unless_validation_is_strict(batch: Any) -> None:
    wrong = job("unknown")
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Always"
    strict = refused(lambda: batch.create_namespaced_job("default", wrong, field_validation="Strict"))
    assert strict["code"] == 400
    assert strict["message"] == (
        'Job in version "v1" cannot be handled as a Job: strict decoding error: '
        'unknown field "spec.template.spec.containers[0].imagePolicy"'
    )
    _, code, headers = batch.create_namespaced_job_with_http_info("default", wrong)
    assert code == 201
    assert headers["Warning"] == ('299 - "unknown field \\"spec.template.spec.containers[0].imagePolicy\\""')


def test_a_wrong_type_is_no_job(batch: Any) -> None:
    status = refused(lambda: batch.create_namespaced_job("default", job("typed", backoffLimit="many")))
    assert status["code"] == 400
    assert (
        "cannot unmarshal string into Go struct field .spec.backoffLimit of type int32" in status["message"]
    )


def test_a_role_lets_its_verbs_through_and_no_others(api: KubernetesApi) -> None:
    api.namespace("roles", "runner", "stranger")
    api.apply(
        [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "jobs", "namespace": "roles"},
                "rules": [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "list"]}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "jobs", "namespace": "roles"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jobs"},
                "subjects": [{"kind": "ServiceAccount", "name": "runner", "namespace": "roles"}],
            },
        ]
    )
    runner = kubernetes.client.BatchV1Api(client_of(api, api.access.token("roles", "runner")))
    stranger = kubernetes.client.BatchV1Api(client_of(api, api.access.token("roles", "stranger")))
    runner.create_namespaced_job("roles", job("mine"))
    assert [item.metadata.name for item in runner.list_namespaced_job("roles").items] == ["mine"]
    assert refused(lambda: runner.delete_namespaced_job("mine", "roles"))["message"] == (
        'jobs.batch "mine" is forbidden: User "system:serviceaccount:roles:runner" cannot delete resource "jobs" '
        'in API group "batch" in the namespace "roles"'
    )
    assert refused(lambda: runner.list_namespaced_job("default"))["code"] == 403
    status = refused(lambda: stranger.create_namespaced_job("roles", job("theirs")))
    assert (status["reason"], status["details"]) == ("Forbidden", {"group": "batch", "kind": "jobs"})


def test_an_unknown_token_is_nobody(api: KubernetesApi) -> None:
    batch = kubernetes.client.BatchV1Api(client_of(api, "invented"))
    status = refused(lambda: batch.list_namespaced_job("default"))
    assert (status["code"], status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")


def test_a_missing_account_leaves_the_job_without_pods_and_an_event_says_why(
    api: KubernetesApi, batch: Any
) -> None:
    batch.create_namespaced_job("default", job("account", pod={"serviceAccountName": "nobody"}))
    (event,) = until(lambda: events_of(api, "account", "FailedCreate"))
    assert event["message"] == (
        'Error creating: pods "account-" is forbidden: error looking up service account default/nobody: '
        'serviceaccount "nobody" not found'
    )
    status = batch.read_namespaced_job("account", "default").status
    assert (status.active, status.failed, status.conditions) == (None, None, None)


def test_pods_are_held_to_the_standard_of_their_namespace(api: KubernetesApi, batch: Any) -> None:
    api.namespace("strict", labels={"pod-security.kubernetes.io/enforce": "restricted"})
    batch.create_namespaced_job("strict", job("lax"))
    (event,) = until(lambda: events_of(api, "lax", "FailedCreate"))
    assert event["message"] == (
        'Error creating: pods "lax-" is forbidden: violates PodSecurity "restricted:latest": '
        'allowPrivilegeEscalation != false (container "work" must set '
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities "
        '(container "work" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true '
        '(pod or container "work" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container '
        '"work" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    tight = job("tight")
    tight["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    batch.create_namespaced_job("strict", tight)
    pod_of(api, "tight", "Succeeded")
    root = job("root", pod={"securityContext": {"runAsUser": 0}})
    root["spec"]["template"]["spec"]["containers"] = tight["spec"]["template"]["spec"]["containers"]
    batch.create_namespaced_job("strict", root)
    (event,) = until(lambda: events_of(api, "root", "FailedCreate"))
    assert event["message"].endswith('"restricted:latest": runAsUser=0 (pod must not set runAsUser=0)')


def test_a_quota_is_not_exceeded(api: KubernetesApi, batch: Any) -> None:
    api.namespace("small")
    api.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "memory", "namespace": "small"},
                "spec": {"hard": {"limits.memory": "1Gi", "count/jobs.batch": "2"}},
            }
        ]
    )
    batch.create_namespaced_job("small", job("silent"))
    (event,) = until(lambda: events_of(api, "silent", "FailedCreate"))
    assert event["message"].endswith("failed quota: memory: must specify limits.memory for: work")
    large = job("large")
    large["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": {"memory": "1536Mi"}}
    batch.create_namespaced_job("small", large)
    (event,) = until(lambda: events_of(api, "large", "FailedCreate"))
    assert event["message"].endswith(
        "exceeded quota: memory, requested: limits.memory=1536Mi, used: limits.memory=0, limited: limits.memory=1Gi"
    )
    assert refused(lambda: batch.create_namespaced_job("small", job("third")))["message"] == (
        'jobs.batch "third" is forbidden: exceeded quota: memory, requested: count/jobs.batch=1, '
        "used: count/jobs.batch=2, limited: count/jobs.batch=2"
    )


def test_a_policy_is_evaluated_by_its_own_expressions(api: KubernetesApi, batch: Any) -> None:
    pytest.importorskip("celpy")
    api.namespace("policed", "resize", "train")
    api.apply(
        [
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": "account-is-op"},
                "spec": {
                    "failurePolicy": "Fail",
                    "matchConstraints": {
                        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "policed"}},
                        "resourceRules": [
                            {
                                "apiGroups": ["batch"],
                                "apiVersions": ["v1"],
                                "operations": ["CREATE"],
                                "resources": ["jobs"],
                            }
                        ],
                    },
                    "variables": [
                        {"name": "account", "expression": "object.spec.template.spec.serviceAccountName"}
                    ],
                    "validations": [
                        {
                            "expression": "object.metadata.labels['name'] == variables.account",
                            "messageExpression": "'account ' + variables.account + ' is not of this op'",
                            "reason": "Forbidden",
                        }
                    ],
                },
            },
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": "everywhere"},
                "spec": {"policyName": "account-is-op", "validationActions": ["Deny"]},
            },
        ]
    )
    batch.create_namespaced_job("policed", job("resize", pod={"serviceAccountName": "resize"}))
    wrong = job("resize", pod={"serviceAccountName": "train"})
    status = refused(lambda: batch.create_namespaced_job("policed", wrong))
    assert (status["code"], status["message"]) == (
        403,
        "jobs.batch \"resize\" is forbidden: ValidatingAdmissionPolicy 'account-is-op' with binding "
        "'everywhere' denied request: account train is not of this op",
    )
    silent = refused(lambda: batch.create_namespaced_job("policed", job("silent")))
    assert (silent["code"], silent["reason"]) == (422, "Invalid")
    assert "resulted in error" in silent["message"]


def test_variables_come_from_secrets_and_config_maps(api: KubernetesApi, batch: Any, core: Any) -> None:
    core.create_namespaced_secret("default", {"metadata": {"name": "door"}, "data": {"password": "c2VzYW1l"}})
    with_secret = job("opens", "printf '%s %s %s' $WORD $(WORD) '$$(WORD)'")
    container = with_secret["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "door", "key": "password"}}}]
    batch.create_namespaced_job("default", with_secret)
    pod = pod_of(api, "opens", "Succeeded")
    assert log_of(core, pod["metadata"]["name"]) == "sesame sesame $(WORD)"
    without = job("knocks")
    without["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "gate", "key": "password"}}}
    ]
    batch.create_namespaced_job("default", without)
    until(lambda: events_of(api, "knocks", "Failed"))
    state = pod_of(api, "knocks", "Pending")["status"]["containerStatuses"][0]["state"]
    assert state["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'secret "gate" not found',
    }


def test_a_container_that_takes_too_much_memory_is_killed(api: KubernetesApi, batch: Any) -> None:
    api.faults.order(PodFault("OOMKilled", {"name": "big"}, once_printed="working"))
    batch.create_namespaced_job("default", job("big", "echo working; sleep 60"))
    pod = pod_of(api, "big", "Failed")
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (137, "OOMKilled")
    assert "reason" not in pod["status"]


def test_an_evicted_pod_says_what_the_node_was_short_of(api: KubernetesApi, batch: Any) -> None:
    api.faults.order(PodFault("Evicted", {"name": "guest"}))
    batch.create_namespaced_job("default", job("guest", "sleep 60"))
    pod = pod_of(api, "guest", "Failed")
    assert pod["status"]["reason"] == "Evicted"
    assert pod["status"]["message"].startswith("The node was low on resource: memory.")
    assert pod["status"]["conditions"][-1]["reason"] == "TerminationByKubelet"


def test_an_image_that_cannot_be_pulled_keeps_the_pod_waiting(
    api: KubernetesApi, batch: Any, core: Any
) -> None:
    api.faults.order(PodFault("ImagePullBackOff", {"name": "image"}))
    batch.create_namespaced_job("default", job("image"))
    until(lambda: events_of(api, "image", "BackOff"))
    pod = pod_of(api, "image", "Pending")
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert waiting["message"].startswith('Back-off pulling image "photos:1": ErrImagePull: ')
    status = refused(lambda: core.read_namespaced_pod_log(pod["metadata"]["name"], "default"))
    assert status["message"].endswith("is waiting to start: trying and failing to pull image")
    core.delete_namespaced_pod(pod["metadata"]["name"], "default")
    until(lambda: batch.read_namespaced_job("image", "default").status.failed)


def test_a_pod_of_a_lost_node_stays_until_it_is_removed_by_force(
    api: KubernetesApi, batch: Any, core: Any
) -> None:
    api.faults.order(PodFault("NodeLost", {"name": "far"}))
    batch.create_namespaced_job("default", job("far", "sleep 60"))
    until(lambda: batch.read_namespaced_job("far", "default").status.failed)
    pod = pod_of(api, "far", "Running")
    assert "deletionTimestamp" in pod["metadata"]
    assert pod["status"]["conditions"][-1]["reason"] == "DeletionByTaintManager"
    status = batch.read_namespaced_job("far", "default").status
    assert [condition.type for condition in status.conditions] == ["FailureTarget"]
    core.delete_namespaced_pod(pod["metadata"]["name"], "default", grace_period_seconds=0)
    assert refused(lambda: core.read_namespaced_pod(pod["metadata"]["name"], "default"))["code"] == 404
    until(lambda: len(batch.read_namespaced_job("far", "default").status.conditions) == 2)


def test_a_deleted_pod_is_ended_politely_and_counts_as_failed(
    api: KubernetesApi, batch: Any, core: Any
) -> None:
    batch.create_namespaced_job(
        "default", job("polite", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
    )
    pod = pod_of(api, "polite", "Running")
    name = pod["metadata"]["name"]
    until(lambda: "up" in log_of(core, name))
    answer = core.delete_namespaced_pod(name, "default")
    assert answer.metadata.deletion_grace_period_seconds == 30
    until(lambda: batch.read_namespaced_job("polite", "default").status.failed)
    until(lambda: pod["metadata"]["uid"] not in {each["metadata"]["uid"] for each in api.items(PODS)})


def test_a_job_deleted_without_a_policy_leaves_its_pods(api: KubernetesApi, batch: Any, core: Any) -> None:
    batch.create_namespaced_job("default", job("parent", "sleep 60"))
    pod = pod_of(api, "parent", "Running")
    name = pod["metadata"]["name"]
    _, _, headers = batch.delete_namespaced_job_with_http_info("parent", "default")
    assert "child pods are preserved by default when jobs are deleted" in headers["Warning"]
    assert refused(lambda: batch.read_namespaced_job("parent", "default"))["code"] == 404
    assert core.read_namespaced_pod(name, "default").metadata.owner_references is None
    core.delete_namespaced_pod(name, "default", grace_period_seconds=0)


def test_a_job_deleted_in_the_background_takes_its_pods_along(api: KubernetesApi, batch: Any) -> None:
    batch.create_namespaced_job(
        "default", job("family", "sleep 60", pod={"terminationGracePeriodSeconds": 1})
    )
    uid = pod_of(api, "family", "Running")["metadata"]["uid"]
    assert (
        batch.delete_namespaced_job("family", "default", propagation_policy="Background").status == "Success"
    )
    until(lambda: uid not in {pod["metadata"]["uid"] for pod in api.items(PODS)})


def test_a_job_deleted_in_the_foreground_goes_after_its_pods(
    api: KubernetesApi, batch: Any, core: Any
) -> None:
    batch.create_namespaced_job("default", job("elder", "trap '' TERM; while :; do sleep 0.05; done"))
    name = pod_of(api, "elder", "Running")["metadata"]["name"]
    batch.delete_namespaced_job("elder", "default", propagation_policy="Foreground")
    until(lambda: core.read_namespaced_pod(name, "default").metadata.deletion_timestamp)
    kept = batch.read_namespaced_job("elder", "default").metadata
    assert (kept.finalizers, kept.deletion_timestamp is None) == (["foregroundDeletion"], False)
    core.delete_namespaced_pod(name, "default", grace_period_seconds=0)
    until(lambda: "elder" not in {item.metadata.name for item in batch.list_namespaced_job("default").items})


def test_a_job_ends_at_its_deadline(api: KubernetesApi, batch: Any) -> None:
    late = job("late", "sleep 60", activeDeadlineSeconds=1, pod={"terminationGracePeriodSeconds": 1})
    batch.create_namespaced_job("default", late)
    until(lambda: len(batch.read_namespaced_job("late", "default").status.conditions or []) == 2)
    failed = batch.read_namespaced_job("late", "default").status.conditions[-1]
    assert (failed.type, failed.reason) == ("Failed", "DeadlineExceeded")


def test_a_finished_job_goes_when_its_time_is_over(api: KubernetesApi, batch: Any) -> None:
    batch.create_namespaced_job("default", job("short", ttlSecondsAfterFinished=1))
    until(lambda: "short" not in {item.metadata.name for item in batch.list_namespaced_job("default").items})


def test_a_watch_reports_changes_as_they_come(api: KubernetesApi, batch: Any, core: Any) -> None:
    version = core.list_namespaced_pod("default").metadata.resource_version
    batch.create_namespaced_job("default", job("watched", "echo seen"))
    phases = []
    stream = kubernetes.watch.Watch().stream(
        core.list_namespaced_pod,
        "default",
        label_selector="job-name=watched",
        resource_version=version,
        timeout_seconds=SECONDS,
    )
    for event in stream:
        phases.append((event["type"], event["object"].status.phase))
        if phases[-1][1] == "Succeeded":
            break
    assert phases[0] == ("ADDED", "Pending")
    assert ("MODIFIED", "Running") in phases


def test_a_watch_from_a_version_that_is_forgotten_must_start_again(api: KubernetesApi, core: Any) -> None:
    version = core.list_namespaced_pod("default").metadata.resource_version
    core.create_namespaced_config_map("default", {"metadata": {"name": "later"}})
    api.store.forget_changes()
    stream = kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=SECONDS
    )
    with pytest.raises(kubernetes.client.ApiException, match=f"too old resource version: {version}") as error:
        list(stream)
    assert error.value.status == 410


def test_a_watch_can_end_at_any_time(api: KubernetesApi, core: Any) -> None:
    version = core.list_namespaced_pod("default").metadata.resource_version
    answer = core.list_namespaced_pod(
        "default", watch=True, resource_version=version, timeout_seconds=60, _preload_content=False
    )
    began = time.monotonic()
    api.watches.end_all()
    assert answer.read() == b""
    assert time.monotonic() - began < 5


def test_selectors_choose_by_label_and_field(api: KubernetesApi, batch: Any, core: Any) -> None:
    batch.create_namespaced_job("default", job("chosen"))
    batch.create_namespaced_job("default", job("other"))

    def jobs(labels: str) -> list[str]:
        found = batch.list_namespaced_job("default", label_selector=labels)
        return [item.metadata.name for item in found.items]

    assert jobs("name in (chosen,nobody)") == ["chosen"]
    assert jobs("name=chosen,name!=other") == ["chosen"]
    assert "chosen" not in jobs("!name")
    named = batch.list_namespaced_job("default", field_selector="metadata.name=chosen")
    assert len(named.items) == 1
    status = refused(lambda: core.list_namespaced_pod("default", field_selector="spec.colour=red"))
    assert (status["code"], status["message"]) == (400, "field label not supported: spec.colour")


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_request_fails_as_often_as_a_test_orders(api: KubernetesApi, code: int) -> None:
    api.faults.order(RequestFault(code, verb="list", resource="jobs"))
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{api.proxy_url}/apis/batch/v1/jobs")
    assert (error.value.code, json.loads(error.value.read())["code"]) == (code, code)
    assert (error.value.headers["Retry-After"] == "1") == (code == 429)
    with urllib.request.urlopen(f"{api.proxy_url}/apis/batch/v1/jobs") as answer:
        assert json.load(answer)["kind"] == "JobList"


def test_an_answer_that_is_lost_leaves_its_work_done(api: KubernetesApi, batch: Any) -> None:
    api.faults.order(RequestFault(500, verb="create", resource="jobs", after_doing=True))
    assert refused(lambda: batch.create_namespaced_job("default", job("doubtful")))["code"] == 500
    assert refused(lambda: batch.create_namespaced_job("default", job("doubtful")))["code"] == 409


def test_a_connection_can_be_dropped_and_a_server_be_away(api: KubernetesApi) -> None:
    api.faults.order(RequestFault(None, verb="list", resource="jobs"))
    with pytest.raises(ConnectionError):
        urllib.request.urlopen(f"{api.proxy_url}/apis/batch/v1/jobs")
    kept = http.client.HTTPConnection("127.0.0.1", api.proxy_port)

    def asked() -> bytes:
        kept.request("GET", "/healthz")
        return kept.getresponse().read()

    assert asked() == b"ok"
    api.go_down()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        asked()
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(f"{api.proxy_url}/apis/batch/v1/jobs")
    api.come_up()
    with urllib.request.urlopen(f"{api.proxy_url}/healthz") as answer:
        assert answer.read() == b"ok"


def test_the_client_loads_it_as_from_inside_a_cluster(api: KubernetesApi) -> None:
    token = api.folder / "token"
    token.write_text(api.access.administrator_token)
    configuration = kubernetes.client.Configuration()
    variables = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    loader = kubernetes.config.incluster_config.InClusterConfigLoader(
        str(token), str(api.folder / "ca.crt"), environ=variables
    )
    loader.load_and_set(configuration)
    client = kubernetes.client.ApiClient(configuration)
    assert kubernetes.client.VersionApi(client).get_code().git_version == "v1.32.0"
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{api.url}/version")


def test_kubectl_gets_waits_reads_logs_and_deletes(api: KubernetesApi) -> None:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("this machine has no kubectl (Debian: apt-get install kubernetes-client)")
    kubectl = [program, f"--server={api.proxy_url}", "--namespace=default"]

    def done(*words: str, text: str | None = None) -> str:
        command = [*kubectl, *words]
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"HOME": str(api.folder)},
        ).stdout

    manifest = json.dumps(job("by-hand", "echo hello"))
    assert done("create", "--validate=false", "-f", "-", text=manifest) == "job.batch/by-hand created\n"
    assert "condition met" in done("wait", "--for=condition=complete", "--timeout=20s", "job/by-hand")
    assert "kind: Job" in done("get", "job", "by-hand", "-o", "yaml")
    assert "by-hand" in done("get", "jobs")
    assert done("logs", "job/by-hand") == "hello\n"
    assert done("delete", "job", "by-hand") == 'job.batch "by-hand" deleted\n'
    assert "by-hand" not in done("get", "jobs", "-o", "name")


def test_what_is_applied_is_made_and_then_merged(api: KubernetesApi, core: Any) -> None:
    cluster = Cluster(api.kubeconfig, "photos:1")
    settings: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
    }
    cluster.apply([{**settings, "data": {"one": "1", "two": "2"}}])
    cluster.apply([{**settings, "data": {"two": "3"}}])
    assert core.read_namespaced_config_map("settings", "default").data == {"one": "1", "two": "3"}


def test_a_namespace_goes_with_all_that_is_in_it(api: KubernetesApi, batch: Any, core: Any) -> None:
    cluster = Cluster(api.kubeconfig, "photos:1")
    room: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "for-a-while"}}
    cluster.apply([room])
    batch.create_namespaced_job("for-a-while", job("stays", "exec sleep 600"))
    until(lambda: [pod for pod in cluster.pods("for-a-while") if pod["status"]["phase"] == "Running"])
    cluster.remove([room, settings_of("for-a-while")])
    until(lambda: not api.items(PODS, "for-a-while") and not api.items(JOBS, "for-a-while"))
    # what is gone already is no failure
    cluster.remove([room])


def test_variables_lead_a_process_to_its_volumes(api: KubernetesApi, batch: Any, core: Any) -> None:
    cluster = Cluster(api.kubeconfig, "photos:1")
    cluster.apply([settings_of("default")])
    container = {
        "name": "work",
        "image": "photos:1",
        "command": [
            "sh",
            "-c",
            'cat "$HERE/own/file" "$FILE"; touch "$HERE/new" && ls "$ABOVE/room"; echo "$ELSEWHERE"',
        ],
        "env": [
            {"name": "HERE", "value": "/mnt/room"},
            {"name": "FILE", "value": "/mnt/room/own/file"},
            {"name": "ABOVE", "value": "/mnt"},
            {"name": "ELSEWHERE", "value": "/srv/data"},
        ],
        "volumeMounts": [
            {"name": "file", "mountPath": "/mnt/room/own/file", "subPath": "file"},
            {"name": "room", "mountPath": "/mnt/room"},
        ],
    }
    volumes = [{"name": "room", "emptyDir": {}}, {"name": "file", "configMap": {"name": "of-a-volume"}}]
    batch.create_namespaced_job("default", job("sees", pod={"containers": [container], "volumes": volumes}))
    name = pod_of(api, "sees", "Succeeded")["metadata"]["name"]
    assert log_of(core, name).split() == ["held", "held", "new", "own", "/srv/data"]


def test_a_container_that_says_nothing_has_the_limits_of_its_namespace(
    api: KubernetesApi, batch: Any
) -> None:
    cluster = Cluster(api.kubeconfig, "photos:1")
    limits = {"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "250m"}}
    metadata = {"name": "limited"}
    cluster.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": {"name": "one-by-one", "namespace": "limited"},
                "spec": {"limits": [limits]},
            },
        ]
    )
    batch.create_namespaced_job("limited", job("silent"))
    [pod] = until(lambda: cluster.pods("limited"))
    [container] = pod["spec"]["containers"]
    assert container["resources"] == {
        "limits": {"memory": "1Gi"},
        "requests": {"cpu": "250m", "memory": "1Gi"},
    }


def test_as_a_command_it_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.services.kubernetes_api", str(tmp_path / "cluster")]
    checkout = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [*command, "--variable", "WHO=somebody"], cwd=checkout, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        cluster = Cluster(Path(server.stdout.readline().strip()), "photos:1")
        container = {
            "name": "work",
            "image": "photos:1",
            "command": ["sh", "-c", 'echo "$WHO"; exec sleep 600'],
        }
        spec = {"containers": [container]}
        metadata = {"name": "asks", "namespace": "default"}
        assert cluster.start({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        until(lambda: cluster.log("default", "asks") == "somebody\n")
        server.terminate()
        assert server.wait(timeout=SECONDS) == 0


def settings_of(namespace: str) -> Object:
    metadata = {"name": "of-a-volume", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"file": "held\n"}}
