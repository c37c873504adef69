"""The list of options, for people and programs."""

import json

from entrypoint.options.catalogue import load_catalogue
from entrypoint.options.listing import describe, matching


class TestDescribe:
    def test_without_a_word_every_option_is_described(self) -> None:
        text = describe(load_catalogue())
        assert all(option.name in text for option in load_catalogue().options)
        assert max(map(len, text.splitlines())) <= 200

    def test_an_option_is_described_under_any_spelling(self) -> None:
        text = describe(load_catalogue(), "-tp")
        assert text.startswith("  --tensor-parallel-size, -tp INT\n")
        assert "default: 1" in text
        assert text == describe(load_catalogue(), "--tensor_parallel_size")

    def test_an_exact_option_shows_its_keys_and_known_values(self) -> None:
        assert "keys: " in describe(load_catalogue(), "--compilation-config")
        assert "known: " in describe(load_catalogue(), "--quantization")

    def test_a_word_finds_every_option_that_contains_it(self) -> None:
        text = describe(load_catalogue(), "SPECULATIVE")
        assert "--speculative-config" in text
        assert "--dtype" not in text

    def test_a_removed_option_is_found(self) -> None:
        text = describe(load_catalogue(), "swap_space")
        assert "--swap-space" in text
        assert "removed in vLLM 0.18.0" in text

    def test_the_nearest_option_is_suggested(self) -> None:
        assert describe(load_catalogue(), "--tensor-paralel-size") == (
            "vLLM 0.32.0 has no option that matches --tensor-paralel-size.\n"
            "Did you mean --tensor-parallel-size?"
        )


class TestMatching:
    def test_without_a_word_every_option_matches(self) -> None:
        assert len(matching(load_catalogue())) == len(load_catalogue().options)

    def test_matches_are_plain_data(self) -> None:
        found = json.loads(json.dumps(matching(load_catalogue(), "safetensors-prefetch-block")))
        assert [option["name"] for option in found] == ["--safetensors-prefetch-block-size"]

    def test_a_word_like_no_other_matches_nothing(self) -> None:
        assert matching(load_catalogue(), "no such thing") == []
