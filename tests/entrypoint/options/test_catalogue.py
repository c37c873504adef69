"""The catalogue: which spellings name which option, as argparse would have it."""

import time

import pytest

from entrypoint.options.catalogue import CATALOGUE, dashed, load_catalogue, read_catalogue


class TestFile:
    def test_the_file_has_one_entry_per_line(self) -> None:
        lines = CATALOGUE.read_text(encoding="utf-8").splitlines()
        catalogue = load_catalogue()
        lists = (catalogue.options, catalogue.removed_architectures, catalogue.variables)
        assert len(lines) == sum(map(len, lists)) + 4

    def test_reads_in_a_few_milliseconds(self) -> None:
        text = CATALOGUE.read_text(encoding="utf-8")

        def seconds() -> float:
            start = time.perf_counter()
            read_catalogue(text)
            return time.perf_counter() - start

        assert min(seconds() for _ in range(5)) < 0.010

    def test_holds_every_option_that_the_old_templates_use(self) -> None:
        for name in ("--gpu-memory-utilization", "--max-model-len", "--quantization", "--dtype"):
            assert load_catalogue().find(name) is not None

    def test_no_spelling_names_two_options(self) -> None:
        spellings = [s for option in load_catalogue().options for s in option.spellings]
        assert len(spellings) == len(set(spellings))

    def test_defaults_contain_no_path_of_the_machine_that_made_it(self) -> None:
        paths = [o.name for o in load_catalogue().options if str(o.default).startswith("/")]
        assert paths == []


class TestFind:
    @pytest.mark.parametrize(
        ("spelling", "name"),
        [
            ("--tensor-parallel-size", "--tensor-parallel-size"),
            ("--tensor_parallel_size", "--tensor-parallel-size"),
            ("-tp", "--tensor-parallel-size"),
            ("-t", "--tensor-parallel-size"),
            ("--device-memory-utilization", "--gpu-memory-utilization"),
            ("--no-enforce-eager", "--enforce-eager"),
            ("--no_enforce_eager", "--enforce-eager"),
            ("--enforce", "--enforce-eager"),
            ("--gpu-mem", "--gpu-memory-utilization"),
            ("--compilation-config.mode", "--compilation-config"),
            ("--compilation_config.pass_config.fuse", "--compilation-config"),
            ("-cc.mode", "--compilation-config"),
            ("-cc.custom_ops+", "--compilation-config"),
        ],
    )
    def test_an_option_is_found_by_each_of_its_names(self, spelling: str, name: str) -> None:
        found = load_catalogue().find(spelling)
        assert found is not None
        assert found.name == name

    @pytest.mark.parametrize(
        "spelling",
        ["--data", "-d", "--swap-space", "--seed.x", "--Seed", "seed", "-", "--", "", "--no-seed"],
    )
    def test_unknown_and_ambiguous_names_find_nothing(self, spelling: str) -> None:
        assert load_catalogue().find(spelling) is None

    def test_an_exact_spelling_is_never_ambiguous(self) -> None:
        catalogue = load_catalogue()
        for spelling, option in catalogue.by_spelling.items():
            assert catalogue.spellings_of(spelling) == (spelling,)
            assert catalogue.find(spelling) is option


class TestNearest:
    def test_the_nearest_spelling_is_found_for_a_typo(self) -> None:
        assert load_catalogue().nearest("--tensor_paralel_size") == "--tensor-parallel-size"

    def test_a_name_like_no_other_has_no_nearest(self) -> None:
        assert load_catalogue().nearest("--zzzz") is None


class TestDashed:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("--a_b", "--a-b"),
            ("--a_b.c_d", "--a-b.c_d"),
            ("-a_b", "-a_b"),
            ("a_b", "a_b"),
        ],
    )
    def test_dashes_replace_underscores_before_the_first_dot(self, written: str, read: str) -> None:
        assert dashed(written) == read


class TestOption:
    def test_only_booleans_have_a_negation(self) -> None:
        catalogue = load_catalogue()
        assert catalogue.by_spelling["--enforce-eager"].negation == "--no-enforce-eager"
        assert catalogue.by_spelling["--headless"].negation is None

    def test_options_take_the_right_number_of_words(self) -> None:
        kinds = {
            "--headless": "flag",
            "--enforce-eager": "boolean",
            "--dtype": "value",
            "--hf-token": "optional-value",
            "--served-model-name": "list",
            "--middleware": "append",
            "--help": "help",
        }
        catalogue = load_catalogue()
        assert {name: catalogue.by_spelling[name].kind for name in kinds} == kinds

    def test_options_have_the_right_types(self) -> None:
        types = {
            "--seed": "int",
            "--watermark": "float",
            "--host": "str",
            "--moe-backend": "folded-str",
            "--max-model-len": "human-int-or-auto",
            "--max-num-batched-tokens": "human-int",
            "--speculative-config": "json",
            "--compilation-config": "json",
            "--hf-overrides": "json-or-str",
            "--lora-modules": "lora",
            "--headless": None,
        }
        catalogue = load_catalogue()
        assert {name: catalogue.by_spelling[name].type for name in types} == types
