"""The JDK's HTTP client, as Java programs use it by default."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.deploy_tools import tool

PROGRAM = Path(__file__).parents[1] / "clients" / "JdkClient.java"
SECONDS = 300
"""Java compiles the program first."""


@dataclass(frozen=True)
class JdkRequest:
    """A POST.

    Attributes:
        path: The path.
        body: The body.
        kind: ``plain``; ``chunks`` for a body of unknown length; ``expect`` to wait for
            100 Continue; ``lines`` to read the answer line by line; ``parallel`` to send all
            such requests at once, after the others.
    """

    path: str
    body: bytes
    kind: str = "plain"


@dataclass(frozen=True)
class JdkAnswer:
    """What the client received."""

    status: int
    version: str
    body: bytes


def send_with_jdk(url: str, requests: Sequence[JdkRequest], key: str = "none") -> list[JdkAnswer]:
    """Send requests with one client; return the answers, those in parallel last."""
    lines = [
        f"{request.kind} {request.path} {base64.b64encode(request.body).decode()}"
        for request in requests
    ]
    ran = subprocess.run(
        [tool("java"), "-Xmx256m", str(PROGRAM), url, key],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert ran.returncode == 0, ran.stderr
    words = (line.split(" ") for line in ran.stdout.splitlines())
    return [
        JdkAnswer(int(status), version, base64.b64decode(body)) for status, version, body in words
    ]
