"""The environment contract: what is read, accepted and refused."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from entrypoint.errors import SettingError
from entrypoint.settings import (
    Settings,
    all_variables,
    cache_roots,
    is_secret,
    near_misses,
    origin,
    read_setting,
    read_settings,
    variables,
)

BOOLEANS = [
    "TRUST_REMOTE_CODE",
    "HF_HUB_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "DISABLE_CUSTOM_KERNELS",
]


class TestDefaults:
    def test_an_empty_environment_has_the_defaults(self) -> None:
        settings = read_settings({})
        assert settings.model_id is None
        assert settings.num_shard == 1
        assert settings.host == "0.0.0.0"
        assert settings.port == 8000
        assert settings.shutdown_timeout == 25
        assert not settings.trust_remote_code

    def test_empty_means_unset(self) -> None:
        empty = dict.fromkeys(all_variables(), "")
        assert read_settings(empty) == read_settings({})

    def test_the_process_environment_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MODEL_ID", "from/outside")
        assert read_settings({}).model_id is None

    def test_unknown_variables_are_ignored(self) -> None:
        assert read_settings({"PATH": "/bin", "MODEL_ID": "a/b"}).model_id == "a/b"


class TestBooleans:
    @pytest.mark.parametrize("text", ["nonsense", "huggingface.co", "ftp://hub", "https://"])
    def test_an_endpoint_that_is_no_web_address_is_refused(self, text: str) -> None:
        with pytest.raises(SettingError, match="must be an address that"):
            read_settings({"HF_ENDPOINT": text})
        good = "https://hub.example:8443/mirror"
        assert read_settings({"HF_ENDPOINT": good}).hf_endpoint == good

    @pytest.mark.parametrize("variable", BOOLEANS)
    @pytest.mark.parametrize("word", ["1", "true", "yes", "on", "TRUE", "Yes", "oN"])
    def test_words_for_true_are_accepted(self, variable: str, word: str) -> None:
        assert getattr(read_settings({variable: word}), variable.lower()) is True

    @pytest.mark.parametrize("variable", BOOLEANS)
    @pytest.mark.parametrize("word", ["0", "false", "no", "off", "FALSE", "No", "oFF"])
    def test_words_for_false_are_accepted(self, variable: str, word: str) -> None:
        assert getattr(read_settings({variable: word}), variable.lower()) is False

    @pytest.mark.parametrize("word", ["2", "t", "y", "maybe", "enabled", "-1", "1.0", "tr ue"])
    def test_other_words_are_refused_with_the_variable(self, word: str) -> None:
        with pytest.raises(SettingError) as raised:
            read_settings({"TRUST_REMOTE_CODE": word})
        assert raised.value.variable == "TRUST_REMOTE_CODE"
        assert repr(word) in raised.value.message
        assert "yes" in raised.value.message


class TestNumbers:
    @pytest.mark.parametrize(("text", "shards"), [("1", 1), ("8", 8), ("max", "max")])
    def test_num_shard_accepts_numbers_and_max(self, text: str, shards: object) -> None:
        assert read_settings({"NUM_SHARD": text}).num_shard == shards

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "MAX", "²"])
    def test_num_shard_refuses_other_values(self, text: str) -> None:
        with pytest.raises(SettingError, match="NUM_SHARD"):
            read_settings({"NUM_SHARD": text})

    @pytest.mark.parametrize(
        ("variable", "value", "problem"),
        [
            ("PORT", "http", "must be an integer"),
            ("PORT", "70000", "must be at most 65535"),
            ("BLOCK_SIZE", "-1", "must be at least 1"),
            ("LOG_FORMAT", "xml", "must be 'text' or 'json'"),
        ],
    )
    def test_the_error_states_what_a_value_must_be(
        self, variable: str, value: str, problem: str
    ) -> None:
        with pytest.raises(SettingError) as raised:
            read_settings({variable: value})
        assert raised.value.message == f"{variable}={value!r} is not accepted: {problem}."

    @pytest.mark.parametrize("text", ["8000", "+8000", "8_000", "8000.0", " 8000\t"])
    def test_a_number_may_be_written_in_several_ways(self, text: str) -> None:
        assert read_settings({"PORT": text}).port == 8000
        assert read_settings({"NUM_SHARD": text}).num_shard == 8000

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("8k", 8000),
            ("8Ki", 8192),
            ("64MiB", 64 << 20),
            ("64 MB", 64_000_000),
            ("2m", 120),
            ("25s", 25),
            ("8,192", 8192),
            ("0x10", 16),
            ("1e3", 1000),
            (":8000", 8000),
            ("8000/tcp", 8000),
            ("tcp://10.0.0.1:9000", 9000),
        ],
    )
    def test_the_error_suggests_the_number_that_was_meant(self, text: str, number: int) -> None:
        for variable in ("MAX_QUEUED_REQUESTS", "NUM_SHARD"):
            with pytest.raises(SettingError, match=rf"Did you mean {number}\?$"):
                read_settings({variable: text})

    @pytest.mark.parametrize("text", ["0", "65536", "tcp://10.0.0.1:9000", "http"])
    def test_a_port_out_of_range_is_refused(self, text: str) -> None:
        with pytest.raises(SettingError) as raised:
            read_settings({"PORT": text})
        assert raised.value.variable == "PORT"
        assert text in raised.value.message


class TestOlderNames:
    @pytest.mark.parametrize("name", variables("hf_token"))
    def test_the_token_has_three_names(self, name: str) -> None:
        settings = read_settings({name: "secret-token"})
        assert settings.hf_token == SecretStr("secret-token")
        assert origin("hf_token", {name: "secret-token"}) == name

    def test_the_newer_name_wins(self) -> None:
        environ = {"HUGGING_FACE_HUB_TOKEN": "old", "HF_TOKEN": "new"}
        assert read_settings(environ).hf_token == SecretStr("new")

    def test_an_empty_newer_name_does_not_win(self) -> None:
        environ = {"HUGGING_FACE_HUB_TOKEN": "old", "HF_TOKEN": ""}
        assert read_settings(environ).hf_token == SecretStr("old")


class TestSecrets:
    def test_repr_hides_secrets(self, tmp_path: Path) -> None:
        keys = tmp_path / "keys"
        keys.write_text("file-key-1\n\nfile-key-2\n")
        settings = read_settings(
            {"HF_TOKEN": "hub-secret", "API_KEY": "api-secret", "API_KEY_FILE": str(keys)}
        )
        assert "secret" not in repr(settings)
        assert "file-key" not in repr(settings)
        assert [k.get_secret_value() for k in settings.api_key_file] == ["file-key-1", "file-key-2"]

    def test_the_secret_fields_are_known(self) -> None:
        secret = {f for f in Settings.model_fields if is_secret(f)}
        assert secret == {"hf_token", "api_key", "azure_storage_access_key"}

    @pytest.mark.parametrize("content", [None, "", "\n\n"])
    def test_a_key_file_without_a_key_is_refused(self, tmp_path: Path, content: str | None) -> None:
        path = tmp_path / "keys"
        if content is not None:
            path.write_text(content)
        with pytest.raises(SettingError) as raised:
            read_settings({"API_KEY_FILE": str(path)})
        assert raised.value.variable == "API_KEY_FILE"
        assert str(path) in raised.value.message


class TestDidYouMean:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("MODELID", "MODEL_ID"),
            ("MODEL_SERVED_NAME", "MODEL_SERVE_NAME"),
            ("model_id", "MODEL_ID"),
            ("NUM_SHARDS", "NUM_SHARD"),
            ("ARGS", "ARG"),
            ("TRUST_REMOTECODE", "TRUST_REMOTE_CODE"),
            ("DTPYE", "DTYPE"),
            ("MODEL_REVISION", "REVISION"),
            ("HF_MODEL_ID", "MODEL_ID"),
            ("MODEL-ID", "MODEL_ID"),
            ("api_key", "API_KEY"),
            ("API_KEYS", "API_KEY"),
            ("HUGGINGFACE_TOKEN", "HF_TOKEN"),
            ("SERVED_MODEL_NAME", "MODEL_SERVE_NAME"),
        ],
    )
    def test_similar_names_are_misspellings(self, name: str, meant: str) -> None:
        assert near_misses({name: "x"}) == {name: meant}

    @pytest.mark.parametrize("name", ["PATH", "HOSTNAME", "HOME", "MODEL_DIR", "PORTAL", "VLLM_X"])
    def test_other_names_are_not(self, name: str) -> None:
        assert near_misses({name: "x"}) == {}

    def test_the_variable_of_a_kubernetes_service_is_not(self) -> None:
        assert near_misses({"MODEL_PORT": "tcp://10.0.0.1:80"}) == {}

    def test_not_if_the_intended_one_is_set_too(self) -> None:
        assert near_misses({"MODELID": "x", "MODEL_ID": "y"}) == {}
        assert near_misses({"HF_API_TOKEN": "x", "HUGGING_FACE_HUB_TOKEN": "y"}) == {}

    def test_not_if_it_is_empty(self) -> None:
        assert near_misses({"MODELID": ""}) == {}


class TestCacheRoots:
    def test_cache_roots_are_ordered_without_duplicates(self) -> None:
        environ = {"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/b", "HF_HOME": "/c"}
        roots = (Path("/a"), Path("/b"), Path("/c/hub"))
        assert cache_roots(read_settings(environ), environ) == roots
        same = {"HF_HUB_CACHE": "/a", "HUGGINGFACE_HUB_CACHE": "/a"}
        assert cache_roots(read_settings(same), same) == (Path("/a"),)

    def test_the_default_cache_root_is_in_the_home_directory(self) -> None:
        environ = {"XDG_CACHE_HOME": "/x"}
        assert cache_roots(read_settings({}), environ) == (Path("/x/huggingface/hub"),)

    def test_kserves_mount_is_searched_with_storage_uri(self) -> None:
        environ = {"STORAGE_URI": "s3://bucket/model", "HF_HOME": "/nonexistent"}
        roots = cache_roots(read_settings(environ), environ)
        assert roots == (Path("/nonexistent/hub"), Path("/mnt/models"))


class TestPassThrough:
    def test_vllm_variables_pass_through(self) -> None:
        environ = {"VLLM_LOGGING_LEVEL": "DEBUG", "PATH": "/bin"}
        assert read_settings(environ).vllm_environment == {"VLLM_LOGGING_LEVEL": "DEBUG"}


class TestReadSetting:
    """One field, without the others."""

    def test_it_is_read_although_another_variable_is_wrong(self) -> None:
        environ = {"LOG_FORMAT": "JSON", "PORT": "many"}
        assert read_setting("log_format", environ) == "json"

    @pytest.mark.parametrize("environ", [{}, {"LOG_FORMAT": ""}, {"LOG_FORMAT": "xml"}])
    def test_it_is_the_default_if_unset_or_wrong(self, environ: dict[str, str]) -> None:
        assert read_setting("log_format", environ) == "text"
