"""A stand-in for the hub on loopback: its protocol as huggingface_hub speaks it, and its faults.

Two servers: the hub itself, and the host of the large files that it redirects to. What was asked
and sent is recorded, so that tests can say which bytes were fetched twice and who saw the token.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.support.models import COMMIT, FALCON, sha256

LARGE = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".onnx")
PIECE = 4096
"""Bytes that are sent at once."""
READ_SECONDS = 60.0
"""How long a client may leave a piece unread, if there is a pause between the pieces."""
RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Fault:
    """What goes wrong when a file's content is asked for.

    Attributes:
        status: Answered instead of the content, with ``headers``.
        cut: The connection ends after this number of bytes of the answer's body.
        times: How often, before all is well.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    times: int = 1


@dataclass
class Hub:
    """One public repository, and what was asked of it.

    Attributes:
        files: ``{name: content}``.
        commit: Of the files.
        refs: Branches and tags.
        gated: Lists its files and gives them to nobody.
        ranges: Whether parts of a file can be asked for.
        pause: Seconds between two pieces of a large file, each sent once the last one was read:
            what was sent is then what has reached the client.
        page: How many files one page of the listing has.
        faults: By file name.
        listed: False facts of files in the listing, by file.
        address: Of the hub.
        storage: Address of the large files' host.
        tokens: The Authorization headers that the hub saw.
        storage_tokens: Those that the other host saw.
        downloaded: Names of files whose content was asked for.
        asked: ``(file name, first byte)`` of each request for content, in order.
        sent: ``{file name: bytes of its content that were sent}``.
        again: ``(file name, bytes)`` of what each request asked for a second time.
        ends: ``{file name: bytes from its beginning that were sent}``.
    """

    files: Mapping[str, bytes]
    name: str = FALCON
    commit: str = COMMIT
    refs: Mapping[str, str] = field(default_factory=lambda: {"main": COMMIT})
    gated: bool = False
    ranges: bool = True
    pause: float = 0
    page: int = 3
    faults: dict[str, Fault] = field(default_factory=dict)
    listed: dict[str, dict[str, object]] = field(default_factory=dict)
    address: str = ""
    storage: str = ""
    tokens: set[str | None] = field(default_factory=set)
    storage_tokens: set[str | None] = field(default_factory=set)
    downloaded: set[str] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    again: list[tuple[str, int]] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """Clear the record, for a client that has nothing yet."""
        for record in (self.downloaded, self.asked, self.sent, self.again, self.ends):
            record.clear()

    def all_sent(self) -> int:
        """Bytes of content that were sent in all; at once, for others send meanwhile."""
        return sum(tuple(self.sent.values()))

    def entry(self, name: str) -> dict[str, object]:
        """A file as the hub lists it."""
        content = self.files[name]
        entry: dict[str, object] = {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": git_blob(content),
        }
        if is_large(name):
            pointer = f"version https://git-lfs.github.com/spec/v1\noid {sha256(content)}"
            entry["oid"] = git_blob(pointer.encode())
            entry["lfs"] = {
                "oid": sha256(content), "size": len(content), "pointerSize": len(pointer)
            }  # fmt: skip
        return {**entry, **self.listed.get(name, {})}


def git_blob(content: bytes) -> str:
    """What git, and the hub, call the content of a small file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def blob_id(name: str, content: bytes) -> str:
    """What a file's blob is called in the cache."""
    return sha256(content) if is_large(name) else git_blob(content)


def is_large(name: str) -> bool:
    """Whether the repository keeps a file by Git LFS."""
    return PurePosixPath(name).suffix in LARGE


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # the client of a slow answer may have been killed

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the tests' output clean: clients are killed here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, *arguments: object):
        self.hub = hub
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer; ``_`` in a header's name stands for ``-``."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status: int, code: str = "", message: str = "") -> None:
        """Refuse in the hub's way."""
        self.answer(status, b"{}", X_Error_Code=code, X_Error_Message=message)

    def send_content(self, name: str, **headers: str) -> None:
        """Send a file, or the part that is asked for, with the faults that it has."""
        hub, content = self.hub, self.hub.files[name]
        match = RANGE.fullmatch(self.headers.get("Range", "")) if hub.ranges else None
        start = int(match[1]) if match else 0
        end = int(match[2]) + 1 if match and match[2] else len(content)
        if self.command == "GET":
            hub.downloaded.add(name)
            hub.asked.append((name, start))
            hub.again.append((name, max(hub.ends.get(name, 0) - start, 0)))
        fault = hub.faults.get(name)
        if fault is not None and self.command == "GET":
            fault.times -= 1
            if not fault.times:
                del hub.faults[name]
            if fault.status:
                self.answer(fault.status, b"{}", **fault.headers)
                return
        if start >= len(content) and match:
            self.answer(416, Content_Range=f"bytes */{len(content)}")
            return
        self.send_response(206 if match else 200)
        if match:
            headers["Content_Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        part = content[start:end]
        for key, value in {"Content_Length": str(len(part)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "GET":
            return
        cut = fault.cut if fault and fault.cut is not None else len(part)
        for offset in range(0, cut, PIECE):
            piece = part[offset : min(offset + PIECE, cut)]
            self.wfile.write(piece)
            hub.sent[name] += len(piece)
            hub.ends[name] = max(hub.ends.get(name, 0), start + offset + len(piece))
            if hub.pause and is_large(name):
                time.sleep(hub.pause)
                wait_until_read(self.connection)
        if cut < len(part):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


def wait_until_read(connection: socket.socket) -> None:
    """Wait until the other end of a connection has read everything, or is closed.

    Both ends are on this machine: its list of sockets (proc(5), ``/proc/net/tcp``) has the bytes
    that the other end has not read. While other sockets come and go, the list may miss one: only
    the connection itself shows that it is closed.
    """
    ends = (connection.getpeername(), connection.getsockname())
    wanted = [
        f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}" for host, port in ends
    ]
    deadline = time.monotonic() + READ_SECONDS
    while time.monotonic() < deadline:
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
        queues = [row[4] for row in rows if row[1:3] == wanted]
        if is_closed(connection) or (queues and queues[0].endswith(":00000000")):
            return
        time.sleep(0.001)


def is_closed(connection: socket.socket) -> bool:
    """Whether the other end has closed a connection on which it sends nothing."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class HubHandler(_Handler):
    """The hub: its API, and the small files."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if path == "/api/agent-harnesses":  # asked once a day, for telemetry
            self.refuse(404)
            return
        token = self.headers.get("Authorization")
        self.hub.tokens.add(token)
        for name, (status, code) in {
            "meta/gated": (403, "GatedRepo"),
            "meta/missing": (404, "RepoNotFound"),
            "meta/private": (401, "RepoNotFound"),
            "meta/down": (500, ""),
            "meta/limited": (429, ""),
        }.items():
            if path.startswith(f"/api/models/{name}"):
                self.refuse(status, code)
                return
        if token == "Bearer hf_wrong":
            self.refuse(401, message="Invalid credentials in Authorization header")
            return
        api, resolve = f"/api/models/{self.hub.name}", f"/{self.hub.name}/resolve/"
        if path == api:
            self.info("main")
        elif path.startswith(f"{api}/revision/"):
            self.info(path.removeprefix(f"{api}/revision/"))
        elif path == f"{api}/tree/{self.hub.commit}":
            self.tree(int(parse_qs(url.query).get("cursor", ["0"])[0]))
        elif path.startswith(resolve):
            self.resolve(*path.removeprefix(resolve).split("/", 1))
        else:
            self.refuse(404, "RepoNotFound")

    def commit_of(self, revision: str) -> str | None:
        """The commit that a revision means."""
        if revision == self.hub.commit or (
            len(revision) >= 7 and self.hub.commit.startswith(revision)
        ):
            return self.hub.commit
        return self.hub.refs.get(revision)

    def info(self, revision: str) -> None:
        """Answer what a revision is."""
        commit = self.commit_of(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound")
            return
        siblings = [{"rfilename": name} for name in self.hub.files]
        body = {"id": self.hub.name, "sha": commit, "siblings": siblings}
        self.answer(200, json.dumps(body).encode(), Content_Type="application/json")

    def tree(self, start: int) -> None:
        """Answer one page of the files."""
        end = start + self.hub.page
        names = list(self.hub.files)
        headers = {"Content_Type": "application/json"}
        if end < len(names):
            page = f"{self.hub.address}{urlsplit(self.path).path}?recursive=true&cursor={end}"
            headers["Link"] = f'<{page}>; rel="next"'
        entries = [self.hub.entry(name) for name in names[start:end]]
        self.answer(200, json.dumps(entries).encode(), **headers)

    def resolve(self, revision: str, name: str) -> None:
        """Answer with a small file, or where a large one is."""
        commit = self.commit_of(revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound")
        elif name not in self.hub.files:
            self.refuse(404, "EntryNotFound")
        elif self.hub.gated:
            self.refuse(403, "GatedRepo")
        elif is_large(name):
            content = self.hub.files[name]
            self.answer(
                302,
                Location=f"{self.hub.storage}/{quote(name)}?Signature=secret-signature",
                X_Repo_Commit=commit,
                X_Linked_Etag=f'"{sha256(content)}"',
                X_Linked_Size=str(len(content)),
                ETag='"of the pointer"',
            )
        else:
            etag = git_blob(self.hub.files[name])
            self.send_content(name, X_Repo_Commit=commit, ETag=f'"{etag}"')


class StorageHandler(_Handler):
    """The host of the large files."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.hub.storage_tokens.add(self.headers.get("Authorization"))
        if parse_qs(url.query).get("Signature") != ["secret-signature"]:
            self.answer(403)
            return
        name = unquote(url.path)[1:]
        self.send_content(name, ETag=f'"{sha256(self.hub.files[name])}"')


@contextmanager
def serve_hub(hub: Hub) -> Iterator[Hub]:
    """Serve a repository; its ``address`` is the hub's from then on."""
    with (
        _Server(("127.0.0.1", 0), partial(HubHandler, hub)) as front,
        _Server(("127.0.0.1", 0), partial(StorageHandler, hub)) as storage,
    ):
        hub.address = f"http://127.0.0.1:{front.server_port}"
        hub.storage = f"http://127.0.0.1:{storage.server_port}"
        threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            for server in (front, storage)
        ]
        for thread in threads:
            thread.start()
        try:
            yield hub
        finally:
            for server in (front, storage):
                server.shutdown()
            for thread in threads:
                thread.join()
