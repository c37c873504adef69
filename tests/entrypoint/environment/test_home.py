"""The home directory, and ``~`` in paths."""

import os
import pwd

import pytest

from entrypoint.environment.home import expanded, home_directory
from entrypoint.errors import SettingError
from entrypoint.settings import cache_roots, read_environment, read_settings


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a passwd entry (a stand-in; test_hardened.py runs as one)."""

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_home_wins_over_the_passwd_entry() -> None:
    assert home_directory({"HOME": "/h"}) == "/h"
    assert home_directory({"HOME": ""}) == pwd.getpwuid(os.getuid()).pw_dir


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("~", "/h"),
        ("~/", "/h/"),
        ("~/a/b", "/h/a/b"),
        ("~root/a", f"{pwd.getpwnam('root').pw_dir}/a"),
        ("/a/~/b", "/a/~/b"),
        ("a~", "a~"),
    ],
)
def test_a_path_is_expanded_as_a_shell_does(path: str, meant: str) -> None:
    assert expanded(path, "/h") == meant


def test_the_home_of_docker_is_the_root() -> None:
    assert expanded("~/a", "/") == "/a"
    assert expanded("~", "/") == "/"


@pytest.mark.parametrize("variable", ["HF_HOME", "MODEL_ID", "TLS_CERT_FILE", "VLLM_CACHE_ROOT"])
def test_every_path_is_expanded_once(variable: str) -> None:
    environ = read_environment({"HOME": "/h\n", variable: "~/a"})
    assert environ[variable] == environ.changed[variable] == "/h/a"


@pytest.mark.usefixtures("nobody")
class TestWithoutAHome:
    def test_a_path_in_it_is_refused(self) -> None:
        with pytest.raises(SettingError, match="HF_HOME='~/hf' stands for a home") as raised:
            read_settings({"HF_HOME": "~/hf"})
        assert "absolute path" in str(raised.value.hint)

    def test_the_default_cache_is_where_docker_puts_it(self) -> None:
        (root,) = cache_roots(read_settings({}), {})
        assert str(root) == "/.cache/huggingface/hub"


def test_the_home_of_an_unknown_user_is_refused() -> None:
    with pytest.raises(SettingError, match="there is no user 'nobody-has-this-name'"):
        read_settings({"HF_HOME": "~nobody-has-this-name/x"})
