"""What a pod's status says at each turn of its life, in the words of scheduler, kubelet and node controller."""

from __future__ import annotations

from collections.abc import Mapping

from tests.services.kubernetes_api.objects import Object, now, set_condition

NODE, ADDRESS = "node-1", "127.0.0.1"


def unschedulable(pod: Object) -> None:
    """No node has room."""
    message = (
        "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims "
        "found for incoming pod."
    )
    set_condition(pod, "PodScheduled", "False", reason="Unschedulable", message=message)


def scheduled(pod: Object) -> None:
    """The pod has a node, which makes its containers."""
    pod["spec"]["nodeName"] = NODE
    pod["status"] |= {
        "hostIP": ADDRESS,
        "hostIPs": [{"ip": ADDRESS}],
        "startTime": now(),
        "containerStatuses": [
            {
                "name": spec["name"],
                "image": spec["image"],
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "started": False,
                "state": {"waiting": {"reason": "ContainerCreating"}},
                "lastState": {},
            }
            for spec in pod["spec"]["containers"]
        ],
    }
    set_condition(pod, "PodScheduled", "True")
    set_condition(pod, "Initialized", "True")
    not_ready(pod)


def not_ready(pod: Object) -> None:
    """No container serves yet."""
    names = " ".join(spec["name"] for spec in pod["spec"]["containers"])
    for condition in ("Ready", "ContainersReady"):
        message = f"containers with unready status: [{names}]"
        set_condition(pod, condition, "False", reason="ContainersNotReady", message=message)


def waiting(pod: Object, reason: str, message: str) -> None:
    """The containers do not start, for this reason."""
    for status in pod["status"]["containerStatuses"]:
        status["state"] = {"waiting": {"reason": reason, "message": message}}


def image_missing(image: str) -> tuple[str, str]:
    """What is said of an image that cannot be pulled: while it is tried, and while it is waited."""
    failed = (
        f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
        f'failed to resolve reference "{image}": {image}: not found'
    )
    return failed, f'Back-off pulling image "{image}": ErrImagePull: {failed}'


def running(pod: Object) -> None:
    """All containers run."""
    pod["status"] |= {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    for status in pod["status"]["containerStatuses"]:
        status |= {
            "ready": True,
            "started": True,
            "imageID": f"{status['image']}@sha256:{'0' * 64}",
            "containerID": f"containerd://{pod['metadata']['uid']}/{status['name']}",
            "state": {"running": {"startedAt": now()}},
        }
    for condition in ("PodReadyToStartContainers", "Ready", "ContainersReady"):
        set_condition(pod, condition, "True")


def end(pod: Object, codes: Mapping[str, int | None], killed: str = "", message: str = "") -> None:
    """The containers have ended with these codes; `killed` is the reason of one that was killed."""
    for status in pod["status"]["containerStatuses"]:
        code = codes.get(status["name"]) or 0
        reason = (killed if code in (137, 128) and killed else "Error") if code else "Completed"
        began = status["state"].get("running", {}).get("startedAt") or now()
        terminated = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}
        if message:
            terminated["message"] = message
        status |= {"ready": False, "started": False, "state": {"terminated": terminated}}
    failed = any(codes.values())
    pod["status"]["phase"] = "Failed" if failed else "Succeeded"
    for condition in ("Ready", "ContainersReady"):
        set_condition(pod, condition, "False", reason="PodFailed" if failed else "PodCompleted")


def evicted(pod: Object) -> None:
    """The kubelet has thrown the pod out because the node is short of memory."""
    names = [spec["name"] for spec in pod["spec"]["containers"]]
    message = (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 51472Ki. "
        + "".join(
            f"Container {name} was using 2411724Ki, request is 0, has larger consumption of memory. "
            for name in names
        )
    )
    pod["status"] |= {"reason": "Evicted", "message": message}
    set_condition(pod, "DisruptionTarget", "True", reason="TerminationByKubelet", message=message)


def lost(pod: Object) -> None:
    """The pod's node is gone for longer than the pod tolerates."""
    message = "Taint manager: deleting due to NoExecute taint"
    set_condition(pod, "DisruptionTarget", "True", reason="DeletionByTaintManager", message=message)
