"""A stand-in for the hub: the few endpoints that downloading a snapshot asks, on loopback."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.entrypoint.store.samples import COMMIT, FALCON


class HubStandIn(BaseHTTPRequestHandler):
    """Serves one public repository; others are refused in the ways that the hub refuses them."""

    files: ClassVar[Mapping[str, bytes]] = {}
    tokens: ClassVar[set[str | None]] = set()
    downloaded: ClassVar[set[str]] = set()
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.tokens.add(self.headers.get("Authorization"))
        for name, (status, code) in {
            "/api/models/meta/gated": (403, "GatedRepo"),
            "/api/models/meta/missing": (404, "RepoNotFound"),
            "/api/models/meta/private": (401, "RepoNotFound"),
            "/api/models/meta/down": (500, ""),
        }.items():
            if path.startswith(name):
                self.answer(status, b"{}", {"X-Error-Code": code})
                return
        if self.headers.get("Authorization") == "Bearer hf_wrong":
            message = "Invalid credentials in Authorization header"
            self.answer(401, b"{}", {"X-Error-Message": message})
            return
        api, resolve = f"/api/models/{FALCON}", f"/{FALCON}/resolve/{COMMIT}/"
        if path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            self.answer_json({"id": FALCON, "sha": COMMIT, "siblings": self.siblings()})
        elif path.startswith(f"{api}/revision/"):
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif path == f"{api}/tree/{COMMIT}":
            self.answer_json(
                [
                    {"type": "file", "path": s["rfilename"], "size": s["size"], "oid": s["blobId"]}
                    for s in self.siblings()
                ]
            )
        elif path.startswith(resolve) and path.removeprefix(resolve) in self.files:
            name = path.removeprefix(resolve)
            if self.command == "GET":
                self.downloaded.add(name)
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{blob_id(self.files[name])}"'}
            self.answer(200, self.files[name], headers)
        else:
            self.answer(404, b"{}", {})

    def siblings(self) -> list[dict[str, str | int]]:
        """The files as the hub lists them."""
        return [
            {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
            for name, content in self.files.items()
        ]

    def answer_json(self, value: object) -> None:
        self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


def blob_id(content: bytes) -> str:
    """What the hub calls a file's content."""
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serve_hub(files: Mapping[str, bytes]) -> Iterator[tuple[str, type[HubStandIn]]]:
    """Serve ``files`` as the repository; its address, and the handler that keeps the score."""
    handler = type("Handler", (HubStandIn,), {"files": files, "tokens": set(), "downloaded": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()
