"""The JDK's HttpClient, which offers an upgrade to HTTP/2 on each new connection."""

from __future__ import annotations

import base64
import subprocess
from functools import cache
from pathlib import Path

from tests.clients.python import program
from tests.clients.python.plain import Plain

SOURCE = Path(__file__).parents[1] / "JdkClient.java"


@cache
def jdk_client(key: str) -> subprocess.Popen[str]:
    """Return a process that sends requests with a key; it ends with this process."""
    return subprocess.Popen(
        ["java", str(SOURCE), program.URL, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def post(path: str, key: str, body: str) -> tuple[int, str]:
    client = jdk_client(key)
    assert client.stdin is not None
    assert client.stdout is not None
    encoded = base64.b64encode(body.encode()).decode()
    print("lines", path, encoded, file=client.stdin, flush=True)
    status, _, answer = client.stdout.readline().split()
    return int(status), base64.b64decode(answer).decode()


if __name__ == "__main__":
    program.run(Plain(post))
