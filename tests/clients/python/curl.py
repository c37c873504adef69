"""``curl --http2``, which offers an upgrade to HTTP/2 with each request."""

from __future__ import annotations

import subprocess

from tests.clients.python import program
from tests.clients.python.plain import Plain


def post(path: str, key: str, body: str) -> tuple[int, str]:
    done = subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--http2",
            "--header",
            f"Authorization: Bearer {key}",
            "--header",
            "Content-Type: application/json",
            "--data-binary",
            "@-",
            "--write-out",
            r"\n%{http_code}",
            f"{program.URL}{path}",
        ],
        input=body,
        capture_output=True,
        text=True,
        check=True,
    )
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), answer


if __name__ == "__main__":
    program.run(Plain(post))
