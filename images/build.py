"""Build an image: ``python3 -m images.build [cpu|openvino|rocm|cuda|hpu]``.

The build uses this machine's settings for the package indexes: certificates, mirrors and folders of
wheels. They appear neither in the Dockerfiles nor in the image.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from images.engine import Engine, NoEngine, find_engine

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = {
    "cpu": "Dockerfile",
    "rocm": "Dockerfile",
    "cuda": "Dockerfile",
    "hpu": "Dockerfile.hpu",
    "openvino": "Dockerfile.openvino",
}
CERTIFICATES = "/run/ca.crt"
"""Path of this machine's certificates inside a build."""

WHEELS = "/run/wheels"
"""Path of this machine's folders of wheels inside a build."""


def tag(kind: str) -> str:
    """Return the name of an image."""
    return f"inference-server:{kind}"


def label_arguments(created: datetime) -> Iterator[str]:
    """Yield the build arguments for the image's labels."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield f"VERSION={project['version']}"
    yield f"CREATED={created.isoformat(timespec='seconds')}"
    revision = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    yield f"REVISION={revision}"


def package_index_options(engine: Engine, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the options that pass the settings of this machine's pip and uv to a build.

    Only podman can mount files of this machine during a build, so only its builds get
    certificates and folders of wheels.
    """
    index = environ.get("PIP_INDEX_URL") or _pip_index()
    if index:
        yield from ("--build-arg", f"PIP_INDEX_URL={index}")
    index = environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or index
    if index:
        yield from ("--build-arg", f"UV_DEFAULT_INDEX={index}")
    if engine.name != "podman":
        return
    certificates = environ.get("SSL_CERT_FILE")
    if certificates:
        yield from ("--volume", f"{certificates}:{CERTIFICATES}:ro")
        yield from ("--build-arg", f"SSL_CERT_FILE={CERTIFICATES}")
    links = []
    for number, folder in enumerate(environ.get("PIP_FIND_LINKS", "").split()):
        place = f"{WHEELS}/{number}"
        yield from ("--volume", f"{folder}:{place}:ro")
        links.append(f"--find-links={place}")
    if links:
        yield from ("--build-arg", f"TORCH={' '.join(links)}")


def _pip_index() -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def build(
    engine: Engine,
    kind: str,
    *,
    base: str | None = None,
    arguments: Mapping[str, str] | None = None,
    image: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Build an image and return its name.

    Args:
        engine: The container engine.
        kind: The accelerator.
        base: The Debian base image, if not the Dockerfile's.
        arguments: More build arguments.
        image: The image's name, if not that of :func:`tag`.
        environ: The environment with the settings for the package indexes.

    Raises:
        subprocess.CalledProcessError: The build failed.
    """
    image = image or tag(kind)
    words = ["build", "--network", "host", "--file", str(ROOT / DOCKERFILES[kind])]
    words += ["--target", kind, "--tag", image]
    for argument in label_arguments(datetime.now(UTC)):
        words += ["--build-arg", argument]
    for name, value in (arguments or {}).items():
        words += ["--build-arg", f"{name}={value}"]
    if base is not None:
        words += ["--build-arg", f"BASE_IMAGE={base}"]
    if engine.name == "podman":
        # the OCI format has no HEALTHCHECK
        words += ["--format", "docker", "--layers"]
        words += ["--pull=never"] if base is not None else []
    engine.run(*words, *package_index_options(engine, environ), ROOT, capture=False)
    return image


def main() -> int:
    """Build the image on the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m images.build", description=__doc__)
    parser.add_argument(
        "kind", choices=DOCKERFILES, nargs="?", default="cpu", help="the accelerator (default: cpu)"
    )
    parser.add_argument("--base", help="the Debian base image (default: the Dockerfile's)")
    arguments = parser.parse_args()
    try:
        print(build(find_engine(), arguments.kind, base=arguments.base))
    except NoEngine as error:
        print(f"images.build: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
