"""Adds the image's Debian packages to a CycloneDX bill of materials.

``cyclonedx-py environment`` lists the packages of one Python environment. The image's last stage
but one runs ``sbom.py OUT.json PYTHON.json...``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

FIELDS = ("Package", "Version", "Architecture")


def distribution(os_release: str) -> tuple[str, str]:
    """Return a Linux distribution's ID and version from the text of its os-release file."""
    values = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    return values["ID"].strip('"'), values.get("VERSION_ID", "").strip('"')


def component(package: str, version: str, architecture: str, system: tuple[str, str]) -> Any:
    """Return the CycloneDX component of a Debian package."""
    name, release = system
    # the purl specification keeps colons
    named = f"{quote(package)}@{quote(version, safe=':')}"
    purl = f"pkg:deb/{name}/{named}?arch={architecture}&distro={name}-{release}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package,
        "version": version,
        "purl": purl,
    }


def merge(bills: Sequence[dict[str, Any]], listing: str, system: tuple[str, str]) -> dict[str, Any]:
    """Return one bill of materials for all Python environments and Debian's packages.

    Args:
        bills: CycloneDX documents, one for each environment. A shared package is listed once.
        listing: A package per line: name, version and architecture, separated by tabs.
        system: The distribution's id and version.
    """
    components = {c["bom-ref"]: c for bill in bills for c in bill["components"]}
    for line in sorted(listing.splitlines()):
        name, version, architecture = line.split("\t")
        package = component(name, version, architecture, system)
        components[package["bom-ref"]] = package
    merged = dict(bills[0])
    if len(bills) > 1:  # dependencies are those of one environment
        merged.pop("dependencies", None)
    return {**merged, "components": list(components.values())}


def main(target: str, *sources: str) -> None:
    """Merge the bills ``sources`` with Debian's packages, and write the result to ``target``."""
    listing = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "\t".join(f"${{{f}}}" for f in FIELDS) + "\n"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    system = distribution(Path("/etc/os-release").read_text())
    bills = [json.loads(Path(source).read_text()) for source in sources]
    Path(target).write_text(json.dumps(merge(bills, listing, system), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
