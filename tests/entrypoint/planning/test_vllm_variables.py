"""vLLM's own variables: shown, compared with options, and checked for their names."""

from dataclasses import replace

import pytest

from entrypoint.options.catalogue import load_catalogue
from entrypoint.planning.plan import LaunchPlan
from entrypoint.planning.vllm_variables import OPTIONS, REPLACED
from entrypoint.settings import all_variables
from tests.support.samples import CUDA, GAUDI, MODEL, POD, option_of, plan, plan_of


def notes(made: LaunchPlan, variable: str) -> list[tuple[str, str]]:
    return [(n.level, n.message) for n in made.notes if n.variable == variable]


class TestShown:
    def test_a_plan_lists_them_with_their_values(self) -> None:
        made = plan(VLLM_CPU_KVCACHE_SPACE="4")
        shown = option_of(made, "VLLM_CPU_KVCACHE_SPACE")
        assert (shown["value"], shown["origin"], shown["variable"]) == (
            *("4", "variable"),
            "VLLM_CPU_KVCACHE_SPACE",
        )
        assert "VLLM_CPU_KVCACHE_SPACE" not in made.env  # the engine inherits it
        assert notes(made, "VLLM_CPU_KVCACHE_SPACE") == []

    def test_a_key_is_masked(self) -> None:
        assert option_of(plan(VLLM_API_KEY="secret-key"), "VLLM_API_KEY")["value"] == "***"

    def test_none_is_shown_twice_or_if_it_is_dropped(self) -> None:
        made = plan_of(MODEL, GAUDI, VLLM_BUCKETING_STRATEGY="lin")
        names = [option.option for option in made.options]
        assert names.count("VLLM_BUCKETING_STRATEGY") == 1
        pod = replace(POD, injected=("VLLM_SERVICE_HOST",))
        made = plan_of(MODEL, CUDA, pod, VLLM_SERVICE_HOST="10.0.0.1")
        assert "VLLM_SERVICE_HOST" not in [option.option for option in made.options]


class TestOverridden:
    @pytest.mark.parametrize(
        ("variable", "value", "arg", "winner"),
        [
            ("VLLM_API_KEY", "long-key", "--api-key other-key", "ARG's --api-key"),
            ("VLLM_LOGGING_LEVEL", "DEBUG", "--log-level INFO", "ARG's --log-level"),
            (
                "VLLM_CONFIGURE_LOGGING",
                "0",
                "--logging-config.configure_logging true",
                "ARG's --logging-config",
            ),
        ],
    )
    def test_an_option_that_wins_is_named(
        self, variable: str, value: str, arg: str, winner: str
    ) -> None:
        assert notes(plan(**{variable: value}), variable) == []
        made = plan(**{variable: value}, ARG=arg)
        assert notes(made, variable) == [("info", f"{winner} wins over {variable}.")]

    def test_our_own_key_wins(self) -> None:
        made = plan(VLLM_API_KEY="long-key", API_KEY="other-key")
        assert notes(made, "VLLM_API_KEY") == [("info", "API_KEY wins over VLLM_API_KEY.")]

    def test_each_stands_for_an_option_that_exists(self) -> None:
        assert OPTIONS.keys() <= set(load_catalogue().variables)
        assert all(load_catalogue().find(option) for option in OPTIONS.values())


class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("VLLM_CPU_KVCACHE_SPCE", "VLLM_CPU_KVCACHE_SPACE"),
            ("VLLM_LOGING_LEVEL", "VLLM_LOGGING_LEVEL"),
            ("VLLM_WORKER_MULTIPROC_METHODS", "VLLM_WORKER_MULTIPROC_METHOD"),
            ("VLLM_ALLOW_LONG_MAX_MODEL_LENGTH", "VLLM_ALLOW_LONG_MAX_MODEL_LEN"),
        ],
    )
    def test_a_misspelled_one_gets_a_warning(self, name: str, meant: str) -> None:
        ((level, message),) = notes(plan(**{name: "1"}), name)
        assert level == "warning"
        assert message == f"vLLM 0.32.0 does not read {name}. Did you mean {meant}?"

    def test_a_name_like_no_other_gets_a_note(self) -> None:
        assert notes(plan(VLLM_XYZZY_PLUGH="1"), "VLLM_XYZZY_PLUGH") == [
            ("info", "vLLM 0.32.0 does not read VLLM_XYZZY_PLUGH. A plugin may.")
        ]
        # the catalogue does not know the variables of this older version
        assert notes(plan_of(MODEL, GAUDI, VLLM_XYZZY_PLUGH="1"), "VLLM_XYZZY_PLUGH") == []

    @pytest.mark.parametrize("name", REPLACED)
    def test_a_removed_one_names_what_replaces_it(self, name: str) -> None:
        ((level, message),) = notes(plan(**{name: "1"}), name)
        assert level == "warning"
        assert message.endswith(f"Set {REPLACED[name]}.")
        assert name not in load_catalogue().variables
        replacement = REPLACED[name].removesuffix(" in ARG")
        assert replacement in all_variables() or load_catalogue().find(replacement)

    @pytest.mark.parametrize("name", ["VLLM_OPENVINO_KVCACHE_SPACE", "VLLM_CACHE_ROOT"])
    def test_a_known_one_gets_no_note(self, name: str) -> None:
        assert [n for n in notes(plan(**{name: "1"}), name) if "read" in n[1]] == []

    def test_an_empty_one_counts_as_unset(self) -> None:
        made = plan(VLLM_ATTENTION_BACKEND="")
        assert notes(made, "VLLM_ATTENTION_BACKEND") == []

    def test_the_port_of_vllms_processes_is_not_the_servers(self) -> None:
        ((level, message),) = notes(plan(VLLM_PORT="9000"), "VLLM_PORT")
        assert level == "warning"
        assert "set PORT" in message
