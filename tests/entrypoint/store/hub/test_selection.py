"""Which files of a repository are wanted."""

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
    patterns = choose_patterns(names, include=include, exclude=exclude, format=format)
    take = None if patterns.take is None else list(patterns.take)
    return set(
        filter_repo_objects(names, allow_patterns=take, ignore_patterns=list(patterns.leave))
    )


class TestDefault:
    def test_one_format_where_there_are_safetensors(self) -> None:
        assert wanted(BOTH) == {"config.json", "model.safetensors", "modeling_x.py"}

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "unet/model.safetensors", "q4.gguf"])
    def test_else_all_but_other_frameworks(self, name: str) -> None:
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
    def test_of_the_weights_only_these(self, format: Format, weights: str) -> None:
        assert wanted(BOTH, format=format) == {"config.json", "modeling_x.py", weights}

    def test_with_patterns_both_count(self) -> None:
        names = wanted(BOTH, include=("*.json", "*.gguf", "*.bin"), format="gguf")
        assert names == {"config.json", "q4.gguf"}


class TestPatterns:
    def test_what_is_named_is_taken_whatever_it_is(self) -> None:
        assert wanted(BOTH, include=("*.h5", "t*")) == {"tf_model.h5", "training_args.bin"}
        assert wanted(BOTH, include=("*",)) == set(BOTH)

    def test_what_is_excluded_is_left_out_in_any_case(self) -> None:
        assert wanted(BOTH, exclude=("*.py",)) == {"config.json", "model.safetensors"}
        assert wanted(BOTH, include=("*.json", "*.py"), exclude=("*.py",)) == {"config.json"}


def test_the_formats_that_there_are() -> None:
    assert formats_of(BOTH) == ("safetensors", "bin", "pt", "gguf")
    assert formats_of(("training_args.bin", "config.json")) == ()
