"""What was meant by a text that is not a model's name, such as an address or a command."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from urllib.parse import unquote

from entrypoint.store.disk.cache import PREFIX, repository_name

# The hub's own rule.
REPOSITORY_ID = re.compile(r"(\b[\w\-.]{1,96}\b/)?\b[\w\-.]{1,96}\b", re.ASCII)
HUBS = ("huggingface.co", "hf.co", "hf-mirror.com")
OTHER_SITES = {
    "modelscope.cn": "ModelScope",
    "modelscope.ai": "ModelScope",
    "modelscope": "ModelScope",
    "ms": "ModelScope",
    "github.com": "GitHub",
    "ollama.com": "Ollama",
    "ollama": "Ollama",
    "registry.ollama.ai": "Ollama",
    "kaggle.com": "Kaggle",
}
"""Other sites with models, by host or scheme."""
NO_MODELS = {
    "spaces": "a Space",
    "datasets": "a dataset",
    "collections": "a collection",
    "papers": "a paper",
    "docs": "a page of the documentation",
    "blog": "a page of the blog",
}
ADDRESS = "an address of the hub"
AT_REVISION = ("tree", "blob", "resolve", "raw", "commit", "commits")
COMMANDS = (
    ("git", "clone"),
    ("git", "lfs", "clone"),
    ("hf", "download"),
    ("huggingface-cli", "download"),
    ("inference-server", "download"),
    ("vllm", "serve"),
    ("ollama", "run"),
    ("ollama", "pull"),
)
ASSIGNMENT = re.compile(
    r"(?:export\s+)?(?:MODEL_ID|LLM_MODEL|MODEL|--model)[=\s]\s*(.+)", re.DOTALL
)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)]+)\)")
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
GGUF_TAG = re.compile(r"(?i)latest|i?q\d\w*|f16|bf16|f32|[\d.]+x?\d*[bm](-.*)?|instruct.*|chat.*")
QUOTES = "\"'`<> \t\r\n"


@dataclass(frozen=True, slots=True)
class Meant:
    """What was probably meant.

    Attributes:
        what: What the text is, after "which is".
        model_id: The repository id; None if the text has none.
        revision: The branch, tag or commit in the text.
        hint: What to do, if that is not to set these two.
    """

    what: str
    model_id: str | None = None
    revision: str | None = None
    hint: str | None = None


def is_repository_id(text: str) -> bool:
    """Whether the hub accepts a text as a repository id."""
    return (
        REPOSITORY_ID.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )


def read_pasted(text: str) -> Meant | None:
    """Return what was meant by a text that is no repository id and no path; None if unclear."""
    bare = text.strip(QUOTES)
    if link := LINK.fullmatch(bare):
        return _read(link["target"], "a link")
    if assignment := ASSIGNMENT.fullmatch(bare):
        return _read(assignment[1].strip(QUOTES), "an assignment")
    if any(letter.isspace() for letter in bare):
        return _read_command(bare)
    if WINDOWS.match(bare):
        name = re.split(r"[\\/]", bare.rstrip("\\/"))[-1]
        return Meant(
            "a path on Windows",
            hint=f"Mount the folder into the container, and set MODEL_ID to its path there, such "
            f"as /models/{name}.",
        )
    return _read(bare, "a repository id with other characters around it")


def _read_command(text: str) -> Meant | None:
    """Return the model in a command line, or in a list of models."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    for command in COMMANDS:
        if tuple(words[: len(command)]) != command:
            continue
        name = shlex.join(command)
        if command[0] == "ollama":
            return _elsewhere("Ollama", None)
        named = [word for word in words[len(command) :] if not word.startswith("-")]
        found = _read(named[0], name) if named else None
        if found is None or found.model_id is None:
            return found or Meant(f"the command {name}")
        revision = found.revision
        if "--revision" in words[:-1]:
            revision = words[words.index("--revision") + 1]
        return Meant(f"the command {name}", found.model_id, revision)
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if len(parts) > 1 and all(is_repository_id(part) for part in parts):
        return Meant(
            f"a list of {len(parts)} names",
            hint="Set MODEL_ID to one of them: each server serves one model.",
        )
    return None


def _read(text: str, what: str) -> Meant | None:
    """Return the model in one word."""
    if is_repository_id(text):
        return Meant(what, text)
    scheme, separator, rest = text.partition("://")
    if separator:
        return _read_address(scheme.lower(), rest)
    host = text.partition("/")[0].removeprefix("www.").lower()
    if host in HUBS or host in OTHER_SITES:
        return _read_address("https", text)
    if found := re.fullmatch(r"(?:git@)?(?P<site>[\w.]+):/{0,2}(?P<path>.+/.+)", text):
        site, path = found["site"].lower(), found["path"]
        if site in ("hf", "huggingface"):
            return _read_address("hf", path)
        if site in HUBS or site in OTHER_SITES:
            return _read_address("https", f"{site}/{path}")
    if text.startswith("file:/"):
        path = "/" + text.removeprefix("file:").lstrip("/")
        return Meant("a file address with too few slashes", hint=f"Set MODEL_ID={path}.")
    if "--" in text and "/" not in text:
        name = repository_name(text)
        if is_repository_id(name):
            folder = "the name of a folder in the cache"
            return Meant(folder if text.startswith(PREFIX) else "a folder's name", name)
    return _read_path(text.replace("\\", "/"), what)


def _read_address(scheme: str, rest: str) -> Meant | None:
    """Return the model in an address of the hub or of another site."""
    if scheme == "hf":
        return _read_path(rest, ADDRESS)
    host, _, path = rest.partition("/")
    host = host.rpartition("@")[2].removeprefix("www.").lower()
    site = OTHER_SITES.get(scheme) or OTHER_SITES.get(host)
    if site:
        found = _read_path(path if scheme in ("http", "https") else rest, site)
        return _elsewhere(site, found.model_id if found else None)
    if host in HUBS:
        return _read_path(path, ADDRESS)
    if scheme in ("http", "https"):
        return Meant(
            "an address that this server does not download from",
            hint="Download it first. Then set MODEL_ID to the directory, or MODEL_TARBALL to the "
            "tarball. For an S3 store, set MODEL_ID=s3://bucket/key and AWS_ENDPOINT_URL to the "
            "store's address.",
        )
    if scheme == "docker":
        hint = (
            "Set the image as oci://IMAGE in KServe, which mounts it. Or set MODEL_ID to a mount."
        )
        return Meant("the address of an image", hint=hint)
    return None


def _elsewhere(site: str, model_id: str | None) -> Meant:
    hint = (
        "Set MODEL_ID to the model's repository id on huggingface.co, or download it with the "
        "site's own client and set MODEL_ID to its directory."
    )
    if site == "ModelScope" and model_id:
        hint = (
            f"Download it: modelscope download --model {model_id} --local_dir DIRECTORY. Then set "
            f"MODEL_ID=DIRECTORY. Or set MODEL_ID={model_id} if the hub has it too."
        )
    return Meant(f"a name on {site}, which this server does not download from", hint=hint)


def _read_path(path: str, what: str) -> Meant | None:
    """Return the model in the path of an address, or in a name with additions."""
    parts = [part for part in unquote(path.partition("?")[0]).split("/") if part not in ("", ".")]
    while parts and parts[0] in ("api", "models"):
        parts = parts[1:]
    if parts and parts[0] in NO_MODELS:
        hint = "Set MODEL_ID to a model's repository id: org/name."
        return Meant(f"the address of {NO_MODELS[parts[0]]}, not of a model", hint=hint)
    revision = None
    if len(parts) > 3 and parts[2] in AT_REVISION:
        revision = parts[3]
    elif len(parts) > 2 and what not in (ADDRESS, *OTHER_SITES.values()):
        inner = "/".join(parts[2:])
        what = f"a repository id and {inner!r}, which is not part of it"
    name = "/".join(parts[:2])
    for mark in ("@", "#", ":"):
        name, found, tag = name.partition(mark)
        if not found or not tag:
            continue
        if mark == ":" and GGUF_TAG.fullmatch(tag):
            if len(parts) == 1:
                return _elsewhere("Ollama", None)
            what = f"a repository id with {mark + tag!r}, a tag of Ollama or llama.cpp"
        else:
            what = f"a repository id with a revision, {tag!r}"
            revision = tag
    name = name.strip("./:").removesuffix(".git")
    if len(parts) < 2 and what == ADDRESS:
        place = "an organization" if parts else "the hub"
        hint = "Set MODEL_ID to a model's repository id: org/name."
        return Meant(f"the address of {place}, not of a model", hint=hint)
    if not is_repository_id(name):
        return None
    return Meant(what, name, None if revision == "main" else revision)
