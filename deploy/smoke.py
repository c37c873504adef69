"""Asks a served model one question. Prints the answer and exits with 0, or the error and 1.

    python3 smoke.py [http://server:8000]

Needs only Python. Sends API_KEY if it is set.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

QUESTION = "What is this?"
TIMEOUT_SECONDS = 120.0


def call(url: str, key: str | None, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON answer of ``url`` to a GET, or to a POST of ``body``."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        return json.load(response)


def ask(server: str, key: str | None) -> str:
    """Return the answer of a server's first model.

    Raises:
        OSError: The server does not answer, or answers with an error.
        ValueError: The answer is not a chat completion, or has no text.
    """
    try:
        model = call(f"{server}/v1/models", key)["data"][0]["id"]
        question = {"role": "user", "content": QUESTION}
        body = {"model": model, "messages": [question], "max_tokens": 64, "temperature": 0}
        choices = call(f"{server}/v1/chat/completions", key, body)["choices"]
        text = choices[0]["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the answer has no {error}") from None
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"the model {model} answered {text!r}")
    return f"{model}: {text.strip()}"


def main() -> int:
    """Ask the server, and return the exit status."""
    server = (sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000").rstrip("/")
    try:
        print(ask(server, os.environ.get("API_KEY")))
    except urllib.error.HTTPError as error:
        print(f"{error.url} answered {error.code}: {error.read(2000)!r}", file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"{server}: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
