"""An S3-compatible store on loopback that fails on request, and files to push to it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from entrypoint.settings import Settings, read_settings
from entrypoint.store.objects.multipart import S3Store
from entrypoint.store.progress import Progress
from entrypoint.store.uri import parse_uri

BUCKET = "models-of-ours"
KEY = "models/falcon/cf4b3c4/tiiuae--falcon-7b-instruct.tar"
URI = f"s3://{BUCKET}/{KEY}"
MIB = 1 << 20


@dataclass(frozen=True)
class Asked:
    """A request that reached the store."""

    method: str
    path: str
    query: dict[str, list[str]]
    range: str | None

    @property
    def part(self) -> int | None:
        """The number of the part that it uploads."""
        return int(self.query["partNumber"][0]) if self.method == "PUT" and self.query else None


Fault = Callable[[Asked], str | None]
"""Returns what goes wrong with a request: an S3 error code, or ``"cut"``, or None."""

STATUS = {"AccessDenied": "403 Forbidden", "SlowDown": "503 Slow Down"}


@dataclass
class S3StandIn:
    """moto's S3 behind a proxy that records requests and makes some of them fail."""

    requests: list[Asked] = field(default_factory=list)
    fault: Fault = lambda asked: None
    address: str = ""

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asked = Asked(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            parse_qs(environ["QUERY_STRING"], keep_blank_values=True),
            environ.get("HTTP_RANGE"),
        )
        self.requests.append(asked)
        fault = self.fault(asked)
        if fault not in (None, "cut"):
            body = f"<Error><Code>{fault}</Code><Message>as requested</Message></Error>".encode()
            start_response(STATUS[str(fault)], [("Content-Length", str(len(body)))])
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return [b"" if asked.method == "HEAD" else body]
        answer = b"".join(self._moto(environ, start_response))
        return [answer[: len(answer) // 2]] if fault == "cut" else [answer]

    def gets(self) -> list[Asked]:
        """The requests for content."""
        return [asked for asked in self.requests if asked.range]

    def sent_parts(self) -> list[int]:
        """The parts that were uploaded."""
        return [asked.part for asked in self.requests if asked.part is not None]


@contextmanager
def serve_s3() -> Iterator[S3StandIn]:
    """Serve S3 on loopback."""
    door = S3StandIn()
    server = make_server(
        "127.0.0.1", 0, cast(Any, door), threaded=True, request_handler=MotoRequestHandler
    )
    door.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def settings(**variables: str) -> Settings:
    """Return the settings of an environment with only these variables."""
    return read_settings(variables)


def open_s3(uri: str = URI, workers: int = 4, **variables: Any) -> S3Store:
    """The store of an object, set up by the environment of the test."""
    return S3Store(parse_uri(uri), settings(**variables), workers)


def random_file(path: Path, size: int, seed: int = 1) -> Path:
    """Write a file that no two parts of are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


class LastProgress:
    """Remembers how far a transfer has come."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, progress: Progress) -> None:
        self.bytes = progress.done
