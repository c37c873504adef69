"""Finds the words that the style page advises against.

Run as ``python -m docs.prose [PATH...]``. Without a path it reads every file that git tracks.
It reads the prose of Markdown, the docstrings, comments and messages of Python, and the comments
of the other text files. docs/words.toml holds the words.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
WORDS = ROOT / "docs" / "words.toml"
SUFFIXES = {"", ".md", ".py", ".toml", ".yaml", ".yml", ".sh", ".Dockerfile"}
# stands for what is no prose: no pattern matches across it
CODE = "\0"

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1[^\n]*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`)(?:(?!\n\s*\n)[^\0])+?(?<!`)\1(?!`)")
LINK_TARGET = re.compile(r"(?<=\])\([^)\s]*\)|https?://\S+")
COMMENT = re.compile(r"(?:^|(?<=\s))#+ .*", re.MULTILINE)
QUOTES = re.compile(r"^([A-Za-z]*)('''|\"\"\"|'|\")")
REPLACEMENT_FIELD = re.compile(r"\{[^{}]*\}")
ESCAPED_SPACE = re.compile(r"\\[nrt]")


@dataclass(frozen=True)
class Word:
    """A phrase to avoid, what to write instead, and the sentences that show where it applies."""

    phrase: str
    write: str
    pattern: re.Pattern[str]
    bad: tuple[str, ...]
    good: tuple[str, ...]


@dataclass(frozen=True)
class Allowance:
    """A phrase that is right in the files that match ``path``, or ``*`` for every phrase."""

    path: str
    phrase: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """A phrase that a file should not contain."""

    path: str
    line: int
    found: str
    write: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.found}": write {self.write}'


def read_words(path: Path = WORDS) -> tuple[list[Word], list[Allowance]]:
    """Return the words and the allowances of ``path``."""
    content = tomllib.loads(path.read_text())
    allowed = [Allowance(**each) for each in content.get("allowed", [])]
    return [_word(each) for each in content["words"]], allowed


def _word(entry: dict[str, Any]) -> Word:
    pattern = entry.get("pattern", entry["phrase"]).replace(" ", r"\s+")
    return Word(
        entry["phrase"],
        entry["write"],
        re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE),
        tuple(entry["bad"]),
        tuple(entry.get("good", [])),
    )


def find(text: str, words: Iterable[Word]) -> Iterator[tuple[int, str, Word]]:
    """Yield the line, the text and the word of each match in ``text``."""
    for word in words:
        for match in word.pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield line, " ".join(match.group().split()), word


def markdown_prose(text: str) -> str:
    """Return ``text`` with code, link targets and addresses blanked out."""
    for pattern in (FENCE, INLINE_CODE, LINK_TARGET):
        text = pattern.sub(lambda match: _blank(match.group()), text)
    return text


def comment_prose(text: str) -> str:
    """Return ``text`` with everything but its ``#`` comments blanked out."""
    prose = list(_blank(text))
    for match in COMMENT.finditer(text):
        prose[match.start() : match.end()] = match.group().replace("#", " ")
    return markdown_prose("".join(prose))


def python_prose(text: str) -> str:
    """Return ``text`` with everything but its comments, docstrings and messages blanked out."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    prose = list(_blank(text))
    joined = False
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        readable = _readable(token, joined)
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            joined = readable is not None
        if readable is not None:
            start = starts[token.start[0] - 1] + token.start[1]
            prose[start : start + len(readable)] = readable
    return markdown_prose("".join(prose))


def _readable(token: tokenize.TokenInfo, joined: bool) -> str | None:
    """Return what people read of a token, at its length, or None.

    ``joined`` is whether it follows a string that people read, which makes it a part of that one.
    """
    kind = tokenize.tok_name[token.type]
    if kind == "COMMENT":
        return token.string.replace("#", " ")
    if kind == "FSTRING_MIDDLE":  # Python 3.12 and newer
        return token.string if " " in token.string else None
    if kind in ("FSTRING_START", "FSTRING_END"):
        return " " * len(token.string)
    if kind != "STRING":
        return None
    opening = QUOTES.match(token.string)
    assert opening is not None
    if (" " not in token.string and not joined) or set(opening[1].lower()) & {"r", "b"}:
        return None
    quotes = len(opening[2])
    inside = token.string[opening.end() : -quotes]
    if "f" in opening[1].lower():
        inside = REPLACEMENT_FIELD.sub(lambda match: _blank(match.group()), inside)
    return " " * opening.end() + ESCAPED_SPACE.sub("  ", inside) + " " * quotes


def _blank(text: str) -> str:
    return re.sub(r"\S", CODE, text)


def check(path: str, text: str, words: Iterable[Word]) -> list[Finding]:
    """Return what is to be written differently in ``text``, the content of ``path``."""
    suffix = Path(path).suffix
    if suffix == ".md":
        prose = markdown_prose(text)
    elif suffix == ".py":
        prose = python_prose(text)
    else:
        prose = comment_prose(text)
    found = [Finding(path, line, text, word.write) for line, text, word in find(prose, words)]
    return sorted(found, key=lambda finding: finding.line)


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return listed.stdout.split("\0")[:-1]


def _is_text(path: str) -> bool:
    return Path(path).suffix in SUFFIXES and (ROOT / path).is_file()


def _is_under(path: str, roots: list[str]) -> bool:
    return not roots or any(root == "." or f"{path}/".startswith(f"{root}/") for root in roots)


def findings(paths: list[str]) -> list[Finding]:
    """Return the findings in the tracked files under ``paths``, or in all."""
    words, allowances = read_words()
    roots = [str(Path(path).resolve().relative_to(ROOT)) for path in paths]
    found: list[Finding] = []
    for path in _tracked():
        if _is_text(path) and _is_under(path, roots):
            allowed = {each.phrase for each in allowances if fnmatch(path, each.path)}
            if "*" not in allowed:
                words_here = [word for word in words if word.phrase not in allowed]
                found += check(path, (ROOT / path).read_text(errors="replace"), words_here)
    return found


def _summary(found: list[Finding]) -> str:
    folders = Counter("/".join(Path(each.path).parts[:-1][:3]) or "." for each in found)
    lines = [f"{count:6} {folder}" for folder, count in sorted(folders.items())]
    return "\n".join([*lines, f"{len(found):6} in all"])


def main() -> int:
    """Print the findings, and return 1 if any were found."""
    parser = argparse.ArgumentParser(description="Find words that docs/style.md advises against.")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    parser.add_argument("--summary", action="store_true", help="print the count of each folder")
    options = parser.parse_args()
    found = findings(options.paths)
    print(_summary(found) if options.summary else "\n".join(map(str, found)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
