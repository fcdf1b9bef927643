"""A stand-in for a Kubernetes cluster: the part of its interface that kubectl needs for jobs.

A job's container runs as a process of this machine, with the environment of the tests for an image.
There is no scheduler, no volume is mounted, and memory that a pod asks for is not enforced.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

JOBS = "/apis/batch/v1/namespaces/default/jobs"
BATCH = {"groupVersion": "batch/v1", "version": "v1"}
VERBS = ["create", "delete", "get", "list"]
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": "batch", "versions": [BATCH], "preferredVersion": BATCH}],
    },
    "/apis/batch/v1": {
        "kind": "APIResourceList",
        "groupVersion": "batch/v1",
        "resources": [
            {
                **{"name": "jobs", "singularName": "job", "kind": "Job"},
                **{"namespaced": True, "verbs": VERBS},
            }
        ],
    },
}


@dataclass
class Cluster:
    """What was asked of the cluster, and the processes of its pods."""

    environment: Mapping[str, str]
    #: Every job in the order of submission, also those that were deleted since.
    submitted: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    #: Rules whose next pod is killed at once.
    kill: set[str] = field(default_factory=set)

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        name = f"{job['metadata']['generateName']}{len(self.submitted)}"
        job["metadata"].update(name=name, namespace="default", uid=name)
        self.submitted.append(job)
        container = job["spec"]["template"]["spec"]["containers"][0]
        command = container["command"]
        if (rule := job["metadata"]["labels"]["rule"]) in self.kill:
            self.kill.remove(rule)
            command = ["/bin/sh", "-c", "kill -9 $$"]
        self.processes[name] = subprocess.Popen(
            command,
            cwd=container["workingDir"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return job

    def state(self, name: str) -> dict[str, Any]:
        job = next(job for job in self.submitted if job["metadata"]["name"] == name)
        code = self.processes[name].poll()
        if code is None:
            return {**job, "status": {"active": 1}}
        if code == 0:
            return {**job, "status": {"succeeded": 1}}
        failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        return {**job, "status": {"failed": 1, "conditions": [failed]}}

    def delete(self, name: str) -> dict[str, Any]:
        self.deleted.append(name)
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def answer(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        name = path.removeprefix(f"{JOBS}/")
        if method == "GET" and path in DISCOVERY:
            return 200, DISCOVERY[path]
        if method == "POST" and path == JOBS:
            return 201, self.create(body)
        if method == "GET" and name in self.processes:
            return 200, self.state(name)
        if method == "DELETE" and name in self.processes:
            return 200, self.delete(name)
        said = f"the server does not know {method} {path}"
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
        return 404, {**missing, "reason": "NotFound", "message": said}


@contextmanager
def cluster(folder: Path, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """A cluster of this machine, which `KUBECONFIG` in its environment names."""
    settings = folder / "kubeconfig"
    here = Cluster({**environment, "KUBECONFIG": str(settings), "HOME": str(folder)})

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, said = here.answer(self.command, urlsplit(self.path).path, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = respond

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    settings.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "here", "cluster": {"server": address}}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                "users": [{"name": "me", "user": {}}],
            }
        )
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        for process in here.processes.values():
            process.kill()
            process.wait()
        server.shutdown()
        server.server_close()
        thread.join()
