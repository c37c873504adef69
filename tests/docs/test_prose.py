"""The prose check finds the words of docs/words.toml, in prose only."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs.prose import ROOT, Word, check, find, findings, read_words

WORDS, ALLOWANCES = read_words()
BAD = [(word, sentence) for word in WORDS for sentence in word.bad]
GOOD = [(word, sentence) for word in WORDS for sentence in word.good]


def lines(path: str, text: str) -> list[tuple[int, str]]:
    return [(finding.line, finding.found) for finding in check(path, text, WORDS)]


@pytest.mark.parametrize(("word", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_each_bad_sentence_is_found(word: Word, sentence: str) -> None:
    assert list(find(sentence, [word]))


@pytest.mark.parametrize(("word", "sentence"), GOOD, ids=[sentence for _, sentence in GOOD])
def test_each_good_sentence_passes(word: Word, sentence: str) -> None:
    assert not list(find(sentence, [word]))


def test_each_word_has_an_example() -> None:
    assert all(word.bad for word in WORDS)


def test_each_allowance_has_a_reason_and_a_known_phrase() -> None:
    phrases = {"*", *(word.phrase for word in WORDS)}
    assert all(each.reason and each.phrase in phrases for each in ALLOWANCES)


def test_markdown_code_and_addresses_are_skipped() -> None:
    page = "Run `made anew`.\n\n```sh\necho anew\n```\n\n[a link](anew.md) https://anew.example\n\nanew\n"
    assert lines("page.md", page) == [(9, "anew")]


def test_a_phrase_is_found_across_a_line_break() -> None:
    assert lines("page.md", "There are so\nmany files.\n") == [(1, "so many")]


def test_python_docstrings_comments_and_messages_are_read() -> None:
    source = (
        '"""Made anew."""\n'
        "anew = 1  # made anew\n"
        'log = f"made anew {anew}"\n'
        'joined = ("as so "\n    "many")\n'
    )
    assert lines("module.py", source) == [
        (1, "anew"),
        (2, "anew"),
        (3, "anew"),
        (4, "so many"),
    ]


def test_python_names_single_words_and_raw_strings_are_skipped() -> None:
    source = "anew = 'anew'\npattern = r'made anew'\nvalue = f'a {anew} b'\nraw = b'made anew'\n"
    assert lines("module.py", source) == []


def test_two_strings_are_not_one_phrase() -> None:
    assert lines("module.py", "words = ['it is so', 'many files']\n") == []


def test_comments_of_other_files_are_read() -> None:
    assert lines("Makefile", "anew: x ## made anew\n\techo anew\n") == [(1, "anew")]


def test_a_finding_shows_where_it_is_and_what_to_write() -> None:
    found = check("page.md", "\nmade anew\n", WORDS)
    assert [str(each) for each in found] == ['page.md:2: "anew": write again, from scratch']


def test_paths_limit_what_is_read() -> None:
    paths = {finding.path for finding in findings([str(ROOT / "docs" / "prose.py")])}
    assert paths <= {"docs/prose.py"}


def test_the_command_fails_if_it_finds_a_word(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "docs.prose", "--summary", "docs/prose.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, ["0", "in", "all"])
