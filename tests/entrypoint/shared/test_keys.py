"""Which keys are accepted, also after the file has changed."""

import os
from pathlib import Path

import pytest

from entrypoint.shared.keys import Keys, read_keys


def written(path: Path, text: str) -> Path:
    """Write a file as Kubernetes updates one: write a new file and rename it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)
    return path


class TestNames:
    def test_each_accepted_key_has_its_own_name(self) -> None:
        keys = Keys(["first", "second"])
        name = keys.name_of("second")
        assert name
        assert name != keys.name_of("first")
        assert "second" not in name

    def test_a_key_may_contain_characters_outside_ascii(self) -> None:
        keys = Keys(["schlüssel"])
        assert keys.name_in([(b"authorization", "Bearer schlüssel".encode())])
        assert keys.name_in([(b"x-api-key", "schlüssel".encode())])
        assert keys.name_in([(b"x-api-key", "schlüssel".encode("latin-1"))]) is None


AUTHORIZATION = b"authorization"
X_API_KEY = b"x-api-key"


class TestHeaders:
    @pytest.mark.parametrize(
        "headers",
        [
            [(AUTHORIZATION, b"Bearer first")],
            [(AUTHORIZATION, b"bearer first")],
            [(AUTHORIZATION, b"BEARER\tfirst")],
            [(AUTHORIZATION, b"  Bearer   first  ")],
            [(X_API_KEY, b"first")],
            [(X_API_KEY, b"\t first ")],
            # one of the two belongs to a gateway, or to another service
            [(AUTHORIZATION, b"Bearer of-a-gateway"), (X_API_KEY, b"first")],
            [(AUTHORIZATION, b"Basic dXNlcjpwYXNz"), (X_API_KEY, b"first")],
            [(AUTHORIZATION, b"Bearer"), (X_API_KEY, b"first")],
            [(X_API_KEY, b"of-another-service"), (AUTHORIZATION, b"Bearer first")],
            [(X_API_KEY, b""), (AUTHORIZATION, b"Bearer first")],
            [(X_API_KEY, b"a"), (X_API_KEY, b"b"), (AUTHORIZATION, b"Bearer first")],
        ],
    )
    def test_a_key_is_found_in_either_header(self, headers: list[tuple[bytes, bytes]]) -> None:
        assert Keys(["first"]).name_in(headers) == Keys(["first"]).name_of("first")

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [(AUTHORIZATION, b"")],
            [(AUTHORIZATION, b"first")],
            [(AUTHORIZATION, b"Basic first")],
            [(AUTHORIZATION, b"Bearer")],
            [(AUTHORIZATION, b"Bearer ")],
            [(AUTHORIZATION, b"Bearerfirst")],
            [(AUTHORIZATION, b"Bearer firs")],
            [(AUTHORIZATION, b"Bearer first1")],
            [(AUTHORIZATION, b"Bearer Bearer first")],
            [(AUTHORIZATION, b"Bearer first, Bearer first")],
            [(AUTHORIZATION, b"Bearer fi"), (AUTHORIZATION, b"rst")],
            [(AUTHORIZATION, b"Bearer first"), (AUTHORIZATION, b"Bearer first")],
            [(X_API_KEY, b"")],
            [(X_API_KEY, b"Bearer first")],
            [(X_API_KEY, b"fi"), (X_API_KEY, b"rst")],
            [(X_API_KEY, b"first"), (X_API_KEY, b"first")],
            [(AUTHORIZATION, b"Bearer fi"), (X_API_KEY, b"rst")],
            [(b"api-key", b"first")],
            [(b"cookie", b"x-api-key=first")],
        ],
    )
    def test_anything_else_is_no_key(self, headers: list[tuple[bytes, bytes]]) -> None:
        assert Keys(["first"]).name_in(headers) is None

    def test_two_keys_have_the_name_of_the_bearer(self) -> None:
        keys = Keys(["first", "second"])
        both = [(X_API_KEY, b"second"), (AUTHORIZATION, b"Bearer first")]
        assert keys.name_in(both) == keys.name_of("first")


def test_requests_need_a_key_only_if_one_is_set() -> None:
    assert not Keys([])
    assert Keys(["first"])


class TestFile:
    def test_fixed_keys_and_those_of_the_file_are_accepted(self, tmp_path: Path) -> None:
        keys = Keys(["fixed"], written(tmp_path / "keys", "one\n\n  two  \n"))
        assert all(keys.name_of(key) for key in ("fixed", "one", "two"))

    def test_a_changed_file_replaces_its_keys_only(self, tmp_path: Path) -> None:
        path = written(tmp_path / "keys", "old\n")
        keys = Keys(["fixed"], path)
        keys.reload()
        assert keys.name_of("old")
        written(path, "new\n")
        keys.reload()
        assert keys.name_of("new")
        assert keys.name_of("fixed")
        assert keys.name_of("old") is None

    @pytest.mark.parametrize("text", ["", " \n", None])
    def test_an_unusable_new_file_leaves_the_previous_keys(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None
    ) -> None:
        """A file in the middle of an update neither locks clients out nor opens the server."""
        path = written(tmp_path / "keys", "old\n")
        keys = Keys([], path)
        if text is None:
            path.unlink()
        else:
            written(path, text)
        keys.reload()
        assert keys.name_of("old")
        assert keys
        assert "API_KEY_FILE" in caplog.text

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"cannot be read: No such file or directory$"):
            read_keys(tmp_path / "keys")


class TestUnusualFiles:
    @pytest.mark.parametrize(
        "content",
        [
            b"\xef\xbb\xbfone\r\ntwo\r\n",
            b"one\rtwo",
            b"\t one \n\n  two",
            b"one\ntwo\none\n",
        ],
    )
    def test_byte_order_mark_line_ends_and_blanks_belong_to_no_key(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "keys"
        path.write_bytes(content)
        assert read_keys(path) == ("one", "two")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("one\n\u00a0two\n", r"line 2 .* NO-BREAK SPACE \(U\+00A0\) at character 1"),
            ("on\u200be\n", "line 1 .* ZERO WIDTH SPACE"),
            ("\u201cone\u201d\n", "line 1 .* LEFT DOUBLE QUOTATION MARK"),
            ("one\u2028two", "line 1 .* LINE SEPARATOR"),
        ],
    )
    def test_a_key_that_nobody_can_send_is_refused(
        self, tmp_path: Path, content: str, problem: str
    ) -> None:
        with pytest.raises(ValueError, match=problem):
            read_keys(written(tmp_path / "keys", content))

    @pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
    def test_a_file_in_another_encoding_is_refused(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "keys"
        path.write_bytes("schlüssel\n".encode(encoding))
        with pytest.raises(ValueError, match="not UTF-8"):
            read_keys(path)
