"""Archives as people make them: each is served, or the error names it and the next step."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoint.errors import InferenceServerError
from entrypoint.store.disk.loading import Loading
from entrypoint.store.fetch import fetch_model
from entrypoint.store.progress import ignore_progress
from entrypoint.store.search.find import find_model
from entrypoint.store.tarballs.other_archives import OTHERS, find_other, is_other_archive, part_hint
from tests.support.models import a_request, model_files, safetensors, write_files


def tarball(files: Mapping[str, bytes], folder: str = "model/") -> bytes:
    """Return a tarball of these files in a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a zip file of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_prefix(prefix: str) -> dict[str, bytes]:
    return {prefix + name: content for name, content in model_files().items()}


MODEL = tarball(model_files())
MACOS = {
    "._model": b"x",
    "model/._config.json": b"x",
    "model/._model.safetensors": b"x",
    "__MACOSX/model/._config.json": b"x",
    **with_prefix("model/"),
}
STALE = {
    "model.safetensors.index.json": b'{"weight_map": {"w": "model.safetensors"}}',
    "x.safetensors": b"",
}

SERVED = {
    "tar": ("m.tar", MODEL),
    "tar at its top": ("m.tar", tarball(model_files(), "")),
    "tar with ./": ("m.tar", tarball(model_files(), "./")),
    "tar.gz": ("m.tar.gz", gzip.compress(MODEL)),
    "tgz": ("m.tgz", gzip.compress(MODEL)),
    "not compressed, called tar.gz": ("m.tar.gz", MODEL),
    "compressed, called tar": ("m.tar", gzip.compress(MODEL)),
    "macOS, tar": ("m.tar", tarball(MACOS, "")),
    "macOS, tar.gz": ("m.tar.gz", gzip.compress(tarball(MACOS, ""))),
    "a damaged file that the index leaves out": ("m.tar", tarball({**model_files(), **STALE})),
    "a first member called PK": ("m.tar", tarball(model_files(), "PK\3\4/")),
}

REFUSED = {
    "zip": ("m.zip", zipped(model_files()), "a zip file", "unzip "),
    "zip, called tar.gz": ("m.tar.gz", zipped(model_files()), "a zip file", "unzip "),
    "bzip2": ("m.tar.bz2", bz2.compress(MODEL), "bzip2", "tar -xf"),
    "xz": ("m.tar.xz", lzma.compress(MODEL), "xz", "tar -xf"),
    "lz4": ("m.tar.lz4", b"\x04\x22\x4d\x18" + MODEL, "lz4", "tar --lz4 -xf"),
    "7z": ("m.7z", b"7z\xbc\xaf\x27\x1c" + bytes(99), "a 7z file", "7z x"),
    "rar": ("m.rar", b"Rar!\x1a\x07\x00" + bytes(99), "a RAR file", "unrar x"),
    "compressed twice": ("m.tar.gz", gzip.compress(gzip.compress(MODEL)), "twice", "gunzip"),
    "zip in gzip": ("m.tar.gz", gzip.compress(zipped(model_files())), "a zip file", "unzip"),
    "a web page": (
        "m.tar.gz",
        b"<!DOCTYPE html>" + b" " * 999,
        "a web page",
        "Download the tarball",
    ),
    "a server's error": ("m.tar", b'{"error": "denied"}', "a JSON", "Download the tarball"),
    "a pointer": ("m.tar", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "lfs pull"),
    "a GGUF file": ("m.tar", b"GGUF" + bytes(999), "a GGUF file", "no loader"),
    "empty": ("m.tar", b"", "it is empty", "pack the model again"),
    "cut": ("m.tar", MODEL[:2000], "end", "pack the model again"),
    "cut, compressed": ("m.tar.gz", gzip.compress(MODEL)[:-30], "truncated", "pack the model"),
    "a part": ("m.tar.gz.aa", gzip.compress(MODEL)[:-30], "truncated", "Join the parts: cat "),
    "a numbered part": ("m.tar.001", MODEL[:1024], "truncated", "Join the parts: cat "),
    "no members": ("m.tar", bytes(10240), "holds no model", "tar -tf"),
    "absolute names": ("m.tar", tarball(model_files(), "/data/"), "leads out", "relative names"),
    "parents": ("m.tar", tarball(model_files(), "../"), "leads out", "relative names"),
    "two folders deep": ("m.tar", tarball(model_files(), "a/b/"), "holds no model", "tar -tf"),
    "two models": (
        "m.tar",
        tarball(with_prefix("a/") | with_prefix("b/"), ""),
        "2 models: a, b",
        "its own tarball",
    ),
    "only a README": ("m.tar", tarball({"README.md": b"x"}), "holds no model", "tar -tf"),
    "only weights": ("m.tar", tarball({"model.safetensors": safetensors()}), "config.json", "Copy"),
    "GGUF": ("m.tar", tarball({"m.gguf": b"GGUF"}), "GGUF", "gguf_file='m.gguf'"),
    "GGUF, compressed": ("m.tar.gz", gzip.compress(tarball({"m.gguf": b"x"})), "GGUF", "gguf_file"),
    "an adapter": (
        "m.tar",
        tarball({"adapter_config.json": b"{}", "adapter_model.safetensors": safetensors()}),
        "a LoRA adapter",
        "--lora-modules",
    ),
    "a tarball in it": ("m.tar", tarball({"m.tar": MODEL}, ""), "holds no model", "tar -tf"),
}


def serve(archive: Path, folder: Path, *, in_place: bool) -> Path | None:
    """Find the model in a tarball and unpack it; return its directory."""
    request = a_request(folder, tarball=archive, in_place=in_place, loading=Loading())
    return fetch_model(find_model(request), request, ignore_progress).path


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "unpacked"])
@pytest.mark.parametrize(("name", "content"), SERVED.values(), ids=SERVED)
def test_a_tarball_is_served_however_it_is_called(
    name: str, content: bytes, in_place: bool, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    path = serve(tmp_path / name, tmp_path, in_place=in_place)
    assert path is not None
    assert (path / "model.safetensors").is_file()


@pytest.mark.parametrize(("name", "content", "what", "fix"), REFUSED.values(), ids=REFUSED)
def test_any_other_archive_is_named_with_the_next_step(
    name: str, content: bytes, what: str, fix: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InferenceServerError) as caught:
        serve(tmp_path / name, tmp_path, in_place=True)
    assert caught.value.exit_code in (65, 66)
    assert what in caught.value.message
    assert fix in str(caught.value.hint)


def test_other_archives_in_a_folder_are_listed(tmp_path: Path) -> None:
    write_files(
        tmp_path / "mnt", {"m.zip": b"PK", "n.tar.xz": b"x", "o.tar.gz.aa": b"x", "P.TAR": b""}
    )
    with pytest.raises(InferenceServerError) as caught:
        find_model(a_request(tmp_path, tarball=tmp_path / "mnt"))
    assert "P.TAR, m.zip, n.tar.xz, o.tar.gz.aa must be unpacked" in caught.value.message


def test_each_start_is_recognized_and_those_of_tarballs_are_not() -> None:
    for other in OTHERS:
        assert find_other(other.start + bytes(512)) in OTHERS
    assert find_other(MODEL) is None
    assert find_other(bytes(512)) is None


@pytest.mark.parametrize(
    ("name", "whole"),
    [("m.tar.aa", "m.tar"), ("m.tar.gz.001", "m.tar.gz"), ("m.zip.part1", "m.zip")],
)
def test_parts_are_joined_to_the_file_that_they_are_of(name: str, whole: str) -> None:
    assert is_other_archive(name)
    assert str(part_hint(Path("/mnt", name))).endswith(f"cat /mnt/{whole}?* > /mnt/{whole}")


@pytest.mark.parametrize("name", ["m.tar", "m.tar.gz", "m.tgz", "m.tar.zst", "m.safetensors"])
def test_other_names_are_no_parts(name: str) -> None:
    assert part_hint(Path(name)) is None
    assert not is_other_archive(name)
