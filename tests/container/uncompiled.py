"""Print the modules whose bytecode is missing or stale. Runs in an image."""

import importlib.util
import sysconfig
import tokenize
from pathlib import Path


def compiled(source: Path) -> bool:
    """Return whether an import can use the bytecode of a module."""
    try:
        header = Path(importlib.util.cache_from_source(str(source))).read_bytes()[:16]
    except OSError:
        return False
    found = source.stat()
    size, time = header[12:16], header[8:12]
    return (
        int.from_bytes(size, "little") == found.st_size & 0xFFFFFFFF
        and int.from_bytes(time, "little") == int(found.st_mtime) & 0xFFFFFFFF
    )


def compiles(source: Path) -> bool:
    """Return whether a file is Python: some packages contain templates."""
    try:
        with tokenize.open(source) as file:
            compile(file.read(), source, "exec")
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return False
    return True


def importable(module: Path, folder: Path) -> bool:
    """Return whether an import can find a module by its path."""
    return all(part.isidentifier() for part in module.relative_to(folder).with_suffix("").parts)


paths = sysconfig.get_paths()
for folder in map(Path, {paths["stdlib"], paths["purelib"], paths["platlib"]}):
    for module in folder.rglob("*.py"):
        if importable(module, folder) and not compiled(module) and compiles(module):
            print(module)
