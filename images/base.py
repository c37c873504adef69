"""The base image of the CPU builds: pulled from a registry, or made from Debian's packages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from images.engine import Engine, install

RELEASE = "bookworm"
PUBLIC_IMAGE = f"docker.io/library/debian:{RELEASE}-slim"
LOCAL_IMAGE = f"localhost/inference-server-base:{RELEASE}"

PACKAGES = ("debootstrap", "debian-archive-keyring")

EXCLUDED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale")


def base_image(engine: Engine) -> str:
    """Return the name of a Debian base image in the engine's store.

    Raises:
        NoEngine: No registry answers, and debootstrap cannot be installed.
        subprocess.CalledProcessError: No registry answers, and debootstrap failed.
    """
    for image in (PUBLIC_IMAGE, LOCAL_IMAGE):
        if engine.has_image(image):
            return image
    if engine.run("pull", PUBLIC_IMAGE, check=False).returncode == 0:
        return PUBLIC_IMAGE
    make_base(engine)
    return LOCAL_IMAGE


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
        excludes = [f"--exclude=./{path}/*" for path in EXCLUDED]
        subprocess.run(["tar", "-C", tree, *excludes, "-cf", archive, "."], check=True)
        engine.run("import", archive, LOCAL_IMAGE)
