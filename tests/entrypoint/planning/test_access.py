"""Keys, modes that ask for none, and doors that are open to all."""

from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.options.arguments import Parsed
from entrypoint.planning.access import access_notes, check_guarded, fixed_keys, wants_keys
from entrypoint.planning.plan import read_arguments
from entrypoint.settings import Settings, read_settings


def read(**variables: str) -> tuple[Settings, Parsed]:
    settings = read_settings(variables)
    return settings, read_arguments(settings.arg)


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "keys").write_text("from-the-file\n")
    return str(tmp_path / "keys")


class TestKeys:
    @pytest.mark.parametrize(
        ("variables", "keys"),
        [
            ({}, ()),
            ({"API_KEY": "one"}, ("one",)),
            ({"VLLM_API_KEY": "own"}, ("own",)),
            ({"API_KEY": "one", "VLLM_API_KEY": "own"}, ("one",)),
            ({"ARG": "--api-key a b"}, ("a", "b")),
            ({"ARG": "--api-key=a"}, ("a",)),
            ({"ARG": "--api-key=-a"}, ("-a",)),
            ({"ARG": "--api-key a", "API_KEY": "one"}, ("a",)),
        ],
    )
    def test_where_they_come_from(self, variables: dict[str, str], keys: tuple[str, ...]) -> None:
        assert fixed_keys(*read(**variables)) == keys
        assert wants_keys(*read(**variables)) == bool(keys)

    def test_a_file_is_enough(self, file: str) -> None:
        assert wants_keys(*read(API_KEY_FILE=file))


class TestGuarded:
    @pytest.mark.parametrize(
        ("variables", "variable"),
        [
            ({"ARG": "--grpc"}, "ARG"),
            ({"VLLM_USE_RUST_FRONTEND": "1"}, "VLLM_USE_RUST_FRONTEND"),
        ],
    )
    def test_modes_that_ask_for_no_key(
        self, variables: dict[str, str], variable: str, file: str
    ) -> None:
        check_guarded(*read(**variables))
        for keys in ({"API_KEY": "one"}, {"API_KEY_FILE": file}, {"VLLM_API_KEY": "own"}):
            with pytest.raises(SettingError) as raised:
                check_guarded(*read(**variables, **keys))
            assert raised.value.variable == variable

    def test_what_is_off_is_no_mode(self) -> None:
        check_guarded(*read(API_KEY="one", VLLM_USE_RUST_FRONTEND="0", ARG="--max-model-len 8"))


class TestNotes:
    @pytest.mark.parametrize(
        ("variables", "noted"),
        [
            ({}, []),
            ({"ADMIN_ROUTES": "lora"}, ["ADMIN_ROUTES"]),
            ({"ADMIN_ROUTES": "lora", "API_KEY": "one"}, []),
            ({"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}, ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]),
            (
                {
                    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
                    "ADMIN_ROUTES": "sleep",
                    "API_KEY": "one",
                },
                ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"],
            ),
            (
                {
                    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
                    "ADMIN_ROUTES": "lora",
                    "API_KEY": "one",
                },
                [],
            ),
            ({"VLLM_SERVER_DEV_MODE": "1"}, ["VLLM_SERVER_DEV_MODE"]),
            ({"VLLM_SERVER_DEV_MODE": "0"}, []),
        ],
    )
    def test_each(self, variables: dict[str, str], noted: list[str]) -> None:
        notes = list(access_notes(*read(**variables)))
        assert [note.variable for note in notes] == noted
        assert all(note.level == "warning" for note in notes)
