"""Runs the cases of :mod:`tests.support.failure_cases` with the real engine, and keeps the logs.

    python -m tests.support.failure_producer FOLDER [NAME ...]

writes ``NAME.log`` and ``NAME.json`` (how the engine ended) for each case. It needs root for the
cases with another user or a mount. Paths of this machine are replaced in the logs.
"""

from __future__ import annotations

import atexit
import contextlib
import http.server
import json
import multiprocessing
import os
import resource
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import BinaryIO

import server.engine
from entrypoint.shared.handover import StartRequest
from tests.support.failure_cases import CASES, HUB_ANSWERS, FailureCase, copy_model
from tests.support.launch import DEMO_CACHE, ROOT, descendants, environment
from tests.support.ports import free_port

SNAPSHOT = next((DEMO_CACHE / "models--inference-server--Demo-Llama" / "snapshots").iterdir())
SECONDS = 240
"""How long a case may take."""
SERVED = "Application startup complete"
LIMITS = {
    resource.RLIMIT_AS: "--as",
    resource.RLIMIT_DATA: "--data",
    resource.RLIMIT_NOFILE: "--nofile",
    resource.RLIMIT_NPROC: "--nproc",
    resource.RLIMIT_FSIZE: "--fsize",
}


# makes an interpreter below root's home readable for another user
_PYTHON = sys.base_prefix
_READABLE = (
    f"mount --bind {_PYTHON} /mnt && mount -t tmpfs -o mode=755 none {Path.home()} && "
    f"mkdir -p {_PYTHON} && mount --bind /mnt {_PYTHON}"
)


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers each request about a repository with the status of :data:`HUB_ANSWERS`."""

    def do_GET(self) -> None:
        name = next((word for word in self.path.split("/") if word in HUB_ANSWERS), "missing")
        status = HUB_ANSWERS[name]
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET
    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Write nothing."""


def command(case: FailureCase, mounts: str) -> list[str]:
    """Return the command line that runs a case's engine."""
    words = [sys.executable, "-m", "server.engine"]
    if case.limits:
        limits = [f"{LIMITS[limit]}={value}:{value}" for limit, value in case.limits.items()]
        words = ["prlimit", *limits, "--", *words]
    if case.user is not None:
        ids = [f"--reuid={case.user}", f"--regid={case.user}", "--clear-groups"]
        words = ["setpriv", *ids, "--", *words]
        mounts = f"{_READABLE}; {mounts or 'true'}"
    if mounts:
        words = ["unshare", "-m", "sh", "-c", f'{mounts}; exec "$@"', "sh", *words]
    return words


class _Forked:
    """The engine's main process as a fork of this one, which has imported vLLM already.

    The import takes most of a start. The methods are those of ``subprocess.Popen``.
    """

    def __init__(self, argv: list[str], environ: dict[str, str], output: BinaryIO, folder: Path):
        self.returncode: int | None = None
        request = folder / "request"
        request.write_bytes(StartRequest(argv, None, os.getpid(), 1.0).dump())
        self.pid = os.fork()
        if self.pid:
            return
        os.setsid()
        os.dup2(os.open(request, os.O_RDONLY), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os.chdir(folder)
        # the CPU platform starts its processes by spawning, which imports vLLM again in each
        spawning = multiprocessing.get_context
        multiprocessing.get_context = lambda method=None: spawning("fork")  # type: ignore[assignment]
        os.environ.clear()
        os.environ.update(environ)
        code = 1
        try:
            server.engine.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:
            frames = error.__traceback__.tb_next if error.__traceback__ else None
            sys.excepthook(type(error), error, frames)
        finally:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int | None:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def can_fork(case: FailureCase) -> bool:
    """Return whether a case needs nothing that an imported vLLM cannot change."""
    apart = (case.environ, case.limits, case.user, case.mounts, case.kill)
    return not (any(apart) or case.compiled)


def produce(case: FailureCase, folder: Path, home: Path) -> tuple[str, int | None]:
    """Run a case in a folder; return its log, and how the engine ended (None: it served)."""
    model = copy_model(SNAPSHOT, folder)
    if case.change:
        case.change(model)
    if case.compiled or case.user is not None:
        home = folder / "home"
        home.mkdir()
    if case.user is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, case.user, case.user)
    taken = socket.create_server(("0.0.0.0", 0))
    places = {
        "{folder}": str(folder),
        "{model}": str(model),
        "{port}": str(free_port()),
        "{taken}": str(taken.getsockname()[1]),
    }
    hub = None
    if "{hub}" in str(case.environ):
        hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
        places["{hub}"] = str(hub.server_address[1])
        threading.Thread(target=hub.serve_forever, daemon=True).start()

    def fill(text: str) -> str:
        for name, value in places.items():
            text = text.replace(name, value)
        return text

    argv = ["--model", fill(case.model or "{model}")]
    if "--port" not in case.argv:
        argv += ["--host", "127.0.0.1", "--port", places["{port}"]]
    if not case.compiled:
        argv.append("--enforce-eager")
    argv += [fill(word) for word in case.argv]
    environ = engine_environment(home) | {name: fill(value) for name, value in case.environ.items()}
    environ = {name: value for name, value in environ.items() if value}
    log = folder / "log"
    process: _Forked | subprocess.Popen[bytes]
    with log.open("wb") as output:
        if can_fork(case):
            process = _Forked(argv, environ, output, folder)
        else:
            (folder / "request").write_bytes(StartRequest(argv, None, os.getpid(), 1.0).dump())
            with (folder / "request").open("rb") as request:
                process = subprocess.Popen(
                    command(case, fill(case.mounts)),
                    env=environ,
                    stdin=request,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=folder if case.user is None else "/",
                    start_new_session=True,
                )
    watch(process, log, case)
    code = process.poll()
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads the group of all of its processes
    process.wait()
    taken.close()
    if hub:
        hub.shutdown()
    return log.read_text(errors="replace"), code


def engine_environment(home: Path) -> dict[str, str]:
    """Return the variables of all cases."""
    return environment(
        home,
        VLLM_NO_USAGE_STATS="1",
        DO_NOT_TRACK="1",
    )


def watch(process: _Forked | subprocess.Popen[bytes], log: Path, case: FailureCase) -> None:
    """Wait until the engine has ended or serves, and send the case's signal."""
    killed = False
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        written = log.read_text(errors="replace")
        if case.kill and not killed and case.kill[2] in written:
            number, name, _ = case.kill
            below = descendants(process.pid).items()
            targets = [pid for pid, line in below if name in line] if name else [process.pid]
            if targets:
                os.kill(targets[0], number)
                killed = True
        if SERVED in written and not case.kill:
            return
        time.sleep(0.2)


def anonymous(log: str, folder: Path) -> str:
    """Return a log without this machine's paths, names and addresses."""
    packages = "/opt/venv/lib/python3.11/site-packages"
    replaced = {
        str(folder): "/srv/case",
        **dict.fromkeys(site.getsitepackages(), packages),
        **{place: packages for place in sys.path if place.endswith("site-packages")},
        sys.prefix: "/opt/venv",
        str(ROOT): "/opt/inference-server",
        sys.base_prefix: "/usr/local",
    }
    for place, other in sorted(replaced.items(), key=lambda each: -len(each[0])):
        log = log.replace(place, other)
    return log


def main(words: list[str]) -> None:
    """Run the named cases, all if none is named."""
    out = Path(words[0])
    out.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="home-"))
    os.environ.update(engine_environment(home))
    import vllm.entrypoints.cli.serve
    import vllm.entrypoints.launchers.cli_args
    import vllm.v1.engine.async_llm
    import vllm.v1.executor.multiproc_executor  # noqa: F401

    named = {case.name: case for case in CASES}
    for case in [named[name] for name in words[1:] or named]:
        folder = Path(tempfile.mkdtemp(prefix="case-"))
        folder.chmod(0o755)
        started = time.monotonic()
        try:
            log, code = produce(case, folder, home)
        finally:
            subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=False)
            shutil.rmtree(folder, ignore_errors=True)
        (out / f"{case.name}.log").write_text(anonymous(log, folder))
        ended = {"code": code, "seconds": round(time.monotonic() - started, 1), "kind": case.kind}
        (out / f"{case.name}.json").write_text(json.dumps(ended) + "\n")
        print(case.name, ended, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
