"""Options and their reasons, as people see them."""

from entrypoint.planning.option import RequestedOption, shown


def test_several_words_are_quoted_like_in_a_shell() -> None:
    assert shown("--served-model-name", ("one", "two words")) == "one 'two words'"


def test_a_flag_has_no_value() -> None:
    assert shown("--enforce-eager", ()) is None


def test_secrets_are_masked() -> None:
    option = RequestedOption("--api-key", ("secret",), "variable", "API_KEY").planned()
    assert (option.value, option.variable) == ("***", "API_KEY")
