"""The base image of the CPU builds: pulled, or made from Debian's packages without a registry."""

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
    """Return the name of a Debian base image that is in the engine's store.

    Raises:
        NoEngine: No registry answers, and debootstrap cannot be installed.
        subprocess.CalledProcessError: No registry answers, and debootstrap fails.
    """
    for image in (PUBLIC, LOCAL):
        if engine.has_image(image):
            return image
    if engine.run("pull", PUBLIC, check=False).returncode == 0:
        return PUBLIC
    make_base(engine)
    return LOCAL


def make_base(engine: Engine) -> None:
    """Make the base image with debootstrap, as root on a Debian.

    Raises:
        NoEngine: debootstrap is missing and cannot be installed.
        subprocess.CalledProcessError: It failed.
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
