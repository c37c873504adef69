"""The base image of the CPU builds: pulled from a registry, or made from Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from images.engine import Engine, install

RELEASE = "bookworm"
PUBLIC = f"docker.io/library/debian:{RELEASE}-slim"
LOCAL = f"localhost/inference-server-base:{RELEASE}"

PACKAGES = ("debootstrap", "debian-archive-keyring")

LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")


def base_image(engine: Engine) -> str:
    """Return the name of a Debian base image in the engine's store.

    Raises:
        NoEngine: No registry answers, and debootstrap cannot be installed.
        subprocess.CalledProcessError: No registry answers, and debootstrap failed.
    """
    for image in (PUBLIC, LOCAL):
        if engine.has_image(image):
            return image
    if engine.run("pull", PUBLIC, check=False).returncode == 0:
        return PUBLIC
    make_base(engine)
    return LOCAL


def make_base(engine: Engine) -> None:
    """Make the base image with debootstrap. Needs root and Debian.

    Raises:
        NoEngine: debootstrap is missing and cannot be installed.
        subprocess.CalledProcessError: debootstrap failed.
    """
    if shutil.which("debootstrap") is None:
        install(PACKAGES)
    with tempfile.TemporaryDirectory(dir=engine.environ.get("TMPDIR")) as folder:
        tree = Path(folder, "tree")
        archive = Path(folder, "tree.tar")
        subprocess.run(["debootstrap", "--variant=minbase", RELEASE, tree], check=True)
        excludes = [f"--exclude=./{path}/*" for path in LEFT_OUT]
        subprocess.run(["tar", "-C", tree, *excludes, "-cf", archive, "."], check=True)
        engine.run("import", archive, LOCAL)
