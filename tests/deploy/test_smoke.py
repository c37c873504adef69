"""The smoke client's exit status; ``tests/end_to_end/test_deploy.py`` asks a real model."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.support.deploy_files import DEPLOY
from tests.support.ports import free_port


def smoke(url: str) -> subprocess.CompletedProcess[str]:
    """Run the client like its container does."""
    words = [sys.executable, str(DEPLOY / "smoke.py"), url]
    return subprocess.run(words, env={}, capture_output=True, text=True, timeout=60)


@contextmanager
def answering(status: int, document: Any) -> Iterator[str]:
    """A stand-in for a broken server: it gives this answer to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_fails_if_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = smoke(url)
    assert (done.returncode, done.stdout) == (1, "")
    assert url in done.stderr
    assert "Traceback" not in done.stderr


MODELS = {"data": [{"id": "m"}]}


@pytest.mark.parametrize(
    ("status", "document", "word"),
    [
        (503, {"error": {"message": "not ready"}}, "503"),
        (200, {}, "data"),
        (200, {"data": []}, "index"),
        (200, {**MODELS, "choices": [{"message": {"content": " "}}]}, "answered ' '"),
        (200, {**MODELS, "choices": [{"message": {"content": None}}]}, "answered None"),
        (200, [], "list"),
    ],
)
def test_it_fails_if_the_answer_is_wrong(status: int, document: Any, word: str) -> None:
    with answering(status, document) as url:
        done = smoke(url)
    assert (done.returncode, done.stdout) == (1, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_the_models_answer_is_printed() -> None:
    with answering(200, {**MODELS, "choices": [{"message": {"content": "Yes.\n"}}]}) as url:
        done = smoke(url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "m: Yes.\n", "")
