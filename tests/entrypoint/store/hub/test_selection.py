"""Which files of a repository are selected."""

from __future__ import annotations

import pytest
from huggingface_hub.utils import filter_repo_objects

from entrypoint.store.hub.selection import choose_patterns, formats_of
from entrypoint.store.transfer_process.messages import Format

BOTH = (
    "config.json",
    "model.safetensors",
    "pytorch_model.bin",
    "original/consolidated.00.pth",
    "q4.gguf",
    "tf_model.h5",
    "training_args.bin",
    "modeling_x.py",
)


def wanted(
    names: tuple[str, ...],
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    format: Format | None = None,
) -> set[str]:
    allow, ignore = choose_patterns(names, include=include, exclude=exclude, format=format)
    return set(filter_repo_objects(names, allow_patterns=allow, ignore_patterns=ignore))


class TestDefault:
    def test_safetensors_exclude_the_other_formats(self) -> None:
        assert wanted(BOTH) == {"config.json", "model.safetensors", "modeling_x.py"}

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "unet/model.safetensors", "q4.gguf"])
    def test_without_safetensors_all_weights_of_vllm_are_selected(self, name: str) -> None:
        assert wanted((name, "tf_model.h5", "optimizer.pt", "more.bin")) == {name, "more.bin"}


class TestFormat:
    @pytest.mark.parametrize(
        ("format", "weights"),
        [
            ("safetensors", "model.safetensors"),
            ("bin", "pytorch_model.bin"),
            ("pt", "original/consolidated.00.pth"),
            ("gguf", "q4.gguf"),
        ],
    )
    def test_a_format_selects_only_its_weights(self, format: Format, weights: str) -> None:
        assert wanted(BOTH, format=format) == {"config.json", "modeling_x.py", weights}

    def test_format_and_patterns_both_count(self) -> None:
        names = wanted(BOTH, include=("*.json", "*.gguf", "*.bin"), format="gguf")
        assert names == {"config.json", "q4.gguf"}


class TestPatterns:
    def test_a_named_file_of_any_kind_is_selected(self) -> None:
        assert wanted(BOTH, include=("*.h5", "t*")) == {"tf_model.h5", "training_args.bin"}
        assert wanted(BOTH, include=("*",)) == set(BOTH)

    def test_an_excluded_file_is_always_skipped(self) -> None:
        assert wanted(BOTH, exclude=("*.py",)) == {"config.json", "model.safetensors"}
        assert wanted(BOTH, include=("*.json", "*.py"), exclude=("*.py",)) == {"config.json"}


def test_the_formats_of_the_weights_are_found() -> None:
    assert formats_of(BOTH) == ("safetensors", "bin", "pt", "gguf")
    assert formats_of(("training_args.bin", "config.json")) == ()
