"""Hubs and stores that do not answer, or answer with an error."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.stage import Inject, Stage
from tests.support.hub_stand_in import Fault, Hub, serve_hub
from tests.support.models import model_files
from tests.support.ports import free_port

LARGE = 1 << 20
"""Size of a hub's weights, in bytes."""


def _use_hub(stage: Stage, address: str, model_id: str = "") -> None:
    """Let the launch download its model, and wait up to a second for each answer."""
    stage.environ |= {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": address,
        "HF_HUB_CACHE": str(stage.place / "downloaded"),
        "HF_HUB_ETAG_TIMEOUT": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "NO_PROXY": "127.0.0.1",
    }
    if model_id:
        stage.environ["MODEL_ID"] = model_id


def hub(model_id: str = "", fault: Fault | None = None, **changes: object) -> Inject:
    """A hub that answers; each of the models ``meta/...`` has its own fault."""

    def inject(stage: Stage) -> None:
        served = Hub(files=model_files(size=LARGE), **changes)  # type: ignore[arg-type]
        if fault is not None:
            served.faults["model.safetensors"] = Fault(
                fault.status, fault.headers, fault.cut, fault.times
            )
        _use_hub(stage, stage.cleanup.enter_context(serve_hub(served)).address, model_id)

    return inject


def refused(stage: Stage) -> None:
    """No server listens on the hub's address."""
    _use_hub(stage, f"http://127.0.0.1:{free_port()}")


@contextmanager
def _silent_server(reset: bool) -> Iterator[int]:
    """Run a server that accepts connections and never answers, or resets them; yield its port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    if reset:
                        connection.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                        )
                        connection.close()
                    else:
                        kept.append(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


def never_answers(stage: Stage) -> None:
    """The hub accepts connections and never answers."""
    _use_hub(stage, f"http://127.0.0.1:{stage.cleanup.enter_context(_silent_server(reset=False))}")


def hangs_up(stage: Stage) -> None:
    """The hub resets every connection."""
    _use_hub(stage, f"http://127.0.0.1:{stage.cleanup.enter_context(_silent_server(reset=True))}")


def store(listens: bool) -> Inject:
    """The object store refuses connections, or resets them."""

    def inject(stage: Stage) -> None:
        port = stage.cleanup.enter_context(_silent_server(reset=True)) if listens else free_port()
        stage.environ |= {
            "MODEL_ID": "s3://bucket/models/model.tar",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "AKIA",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-store",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    return inject
