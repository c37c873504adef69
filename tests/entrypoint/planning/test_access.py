"""API keys, modes that ignore them, and routes that are open to everyone."""

from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.planning.access import (
    access_notes,
    allowed_pages,
    check_access,
    fixed_keys,
    requires_keys,
)
from entrypoint.shared.cors import Cors
from tests.support.samples import asked


@pytest.fixture
def key_file(tmp_path: Path) -> str:
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
    def test_arg_wins_over_api_key_over_vllms_own(
        self, variables: dict[str, str], keys: tuple[str, ...]
    ) -> None:
        assert fixed_keys(asked(**variables)) == keys
        assert requires_keys(asked(**variables)) == bool(keys)

    def test_a_file_of_keys_is_enough(self, key_file: str) -> None:
        assert requires_keys(asked(API_KEY_FILE=key_file))


class TestModes:
    @pytest.mark.parametrize(
        ("variables", "variable"),
        [
            ({"ARG": "--grpc"}, "ARG"),
            ({"VLLM_USE_RUST_FRONTEND": "1"}, "VLLM_USE_RUST_FRONTEND"),
        ],
    )
    def test_modes_that_check_no_key_are_refused_with_keys(
        self, variables: dict[str, str], variable: str, key_file: str
    ) -> None:
        check_access(asked(**variables))
        for keys in ({"API_KEY": "one"}, {"API_KEY_FILE": key_file}, {"VLLM_API_KEY": "own"}):
            with pytest.raises(SettingError) as raised:
                check_access(asked(**variables, **keys))
            assert raised.value.variable == variable

    def test_a_mode_that_is_off_is_not_refused(self) -> None:
        check_access(asked(API_KEY="one", VLLM_USE_RUST_FRONTEND="0", ARG="--max-model-len 8"))


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
    def test_open_and_closed_routes_are_noted(
        self, variables: dict[str, str], noted: list[str]
    ) -> None:
        notes = list(access_notes(asked(**variables)))
        assert [note.variable for note in notes] == noted
        assert all(note.level == "warning" for note in notes)


@pytest.mark.parametrize(
    ("arg", "cors"),
    [
        ("", Cors()),
        ("""--allowed-origins '["*"]'""", Cors(("*",))),
        ("""--allowed-origins='["https://a", "https://b"]'""", Cors(("https://a", "https://b"))),
        ("""--allowed-origins '"https://a"'""", Cors(("https://a",))),
        ("""--allowed-origins '["*"]' --allow-credentials""", Cors(("*",), credentials=True)),
        ("--no-allow-credentials", Cors()),
        (
            """--allowed-methods '["GET"]' --allowed-headers '["X-One"]'""",
            Cors((), ("GET",), ("X-One",)),
        ),
        ("""--allowed-origins '["*"]' --allowed-origins '[]'""", Cors()),
    ],
)
def test_the_pages_that_arg_allows_are_known_before_the_start(arg: str, cors: Cors) -> None:
    assert allowed_pages(asked(ARG=arg)) == cors
