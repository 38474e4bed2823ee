"""The whole server: storage, controllers, the kubelet, and the two addresses that it answers at."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.services.kubernetes_api.access import ADMINISTRATOR, Access
from tests.services.kubernetes_api.certificates import authority_and_server
from tests.services.kubernetes_api.faults import Faults
from tests.services.kubernetes_api.handler import Handler
from tests.services.kubernetes_api.job_controller import JobController
from tests.services.kubernetes_api.kubelet import Kubelet
from tests.services.kubernetes_api.objects import NAMESPACES, SERVICE_ACCOUNTS, Object, Resource, resource_of
from tests.services.kubernetes_api.registry import Registry
from tests.services.kubernetes_api.store import Store
from tests.services.kubernetes_api.watches import Watches
from tests.services.ports import HOST, free_port


class HttpServer(ThreadingHTTPServer):
    """A listener that takes its connections along when it goes."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[Handler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, and serve it in a thread."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection that has ended."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that hangs up in the middle of a handshake; all else is worth a trace."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(*_)

    def cut(self) -> None:
        """Accept nobody, and break off with all who are here."""
        self.shutdown()
        # closed alone, it would accept for a process that is just being started, which has it until it runs its program
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def held_port(port: int) -> socket.socket:
    """Keep a port from everybody else while nobody listens on it; connections to it are refused."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((HOST, port))
    return holder


@dataclass
class KubernetesApi:
    """A running API server with one node, which runs pods as processes in `folder`."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    start_seconds: float = 0
    port: int = field(default_factory=free_port)
    proxy_port: int = field(default_factory=free_port)
    faults: Faults = field(default_factory=Faults)
    store: Store = field(default_factory=Store)

    def __post_init__(self) -> None:
        self.registry = Registry(self.store)
        self.access = Access(self.store)
        self.watches = Watches(self.store)
        self.kubelet = Kubelet(
            self.registry, self.faults, self._environment, self.folder, start_seconds=self.start_seconds
        )
        self._jobs = JobController(self.registry, self.faults.ignores)
        self._listeners: list[HttpServer] = []
        self._held = [held_port(port) for port in (self.port, self.proxy_port)]
        certificate, key, self.authority = authority_and_server()
        for name, text in (("server.pem", certificate + key), ("ca.crt", self.authority)):
            (self.folder / name).write_bytes(text)

    @property
    def url(self) -> str:
        """Where the server answers whoever has a token."""
        return f"https://{HOST}:{self.port}"

    @property
    def proxy_url(self) -> str:
        """Where it answers everybody as the administrator, without encryption, like `kubectl proxy`."""
        return f"http://{HOST}:{self.proxy_port}"

    @cached_property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.kubeconfig_of(self.access.administrator_token, "default", "admin")

    def kubeconfig_of(self, token: str, namespace: str, name: str) -> Path:
        """A kubeconfig with this token; JSON, which is YAML too."""
        cluster = {
            "server": self.url,
            "certificate-authority-data": base64.b64encode(self.authority).decode(),
        }
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [
                {"name": name, "context": {"cluster": "test", "user": name, "namespace": namespace}}
            ],
            "current-context": name,
        }
        path = self.folder / f"kubeconfig-{name}.yaml"
        path.write_text(json.dumps(content))
        path.chmod(0o600)
        return path

    def apply(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Create objects as the administrator; a field that the API does not know is refused."""
        for manifest in manifests:
            resource = resource_of(manifest["apiVersion"], manifest["kind"])
            namespace = (manifest["metadata"].get("namespace") or "default") if resource.namespaced else ""
            self.registry.create(ADMINISTRATOR, resource, namespace, dict(manifest), "Strict")

    def namespace(self, name: str, *accounts: str, labels: Mapping[str, str] | None = None) -> None:
        """Make a namespace with service accounts."""
        made = {"metadata": {"name": name, "labels": dict(labels or {})}}
        self.registry.create(ADMINISTRATOR, NAMESPACES, "", made)
        for account in accounts:
            self.registry.create(ADMINISTRATOR, SERVICE_ACCOUNTS, name, {"metadata": {"name": account}})

    def items(self, resource: Resource, namespace: str = "") -> list[Object]:
        """What the server has."""
        return self.store.items(resource, namespace)

    def start(self) -> None:
        """Answer requests and run pods."""
        self.namespace("default")
        self.namespace("kube-system")
        self.come_up()
        self._jobs.start()
        self.kubelet.start()

    def stop(self) -> None:
        """End everything, the pods' processes too."""
        self.watches.stop()
        self.go_down()
        self._jobs.stop()
        self.kubelet.stop()
        for holder in self._held:
            holder.close()

    def go_down(self) -> None:
        """Refuse every connection, as a control plane that is away does; pods run on."""
        self.watches.end_all()
        for listener in self._listeners:
            listener.cut()
        self._listeners.clear()

    def come_up(self) -> None:
        """Answer at the same addresses as before."""
        parts = {
            "access": self.access,
            "registry": self.registry,
            "faults": self.faults,
            "kubelet": self.kubelet,
            "watches": self.watches,
        }
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem")
        for port, trusting in ((self.port, False), (self.proxy_port, True)):
            handler = type("BoundHandler", (Handler,), {**parts, "trusts_everybody": trusting})
            listener = HttpServer((HOST, port), handler)
            if not trusting:
                # the handshake is the connection's own thread's, or one slow client would stop all
                listener.socket = context.wrap_socket(
                    listener.socket, server_side=True, do_handshake_on_connect=False
                )
            self._listeners.append(listener)
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()

    def _environment(self, pod: Object) -> dict[str, str]:
        """What every process of a pod finds: this interpreter's programs, the API's address, and its account's token."""
        namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        programs = str(Path(sys.executable).parent)
        found = {
            "PATH": os.pathsep.join([programs, os.environ.get("PATH", "")]),
            "HOME": str(self.folder),
            "HOSTNAME": pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": HOST,
            "KUBERNETES_SERVICE_PORT": str(self.port),
            **self.variables,
        }
        if pod["spec"].get("automountServiceAccountToken", True):
            token = self.access.token(namespace, account)
            found["KUBECONFIG"] = str(self.kubeconfig_of(token, namespace, pod["metadata"]["name"]))
        return found


@contextmanager
def kubernetes_api(
    variables: Mapping[str, str] | None = None, *, start_seconds: float = 0
) -> Iterator[KubernetesApi]:
    """A server in a temporary folder; `variables` is what every pod's process finds."""
    with tempfile.TemporaryDirectory(prefix="photo-popularity-kubernetes-") as folder:
        api = KubernetesApi(Path(folder), variables or {}, start_seconds)
        api.start()
        try:
            yield api
        finally:
            api.stop()
