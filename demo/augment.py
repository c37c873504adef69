"""Vary a question as people do: other openings, polite words, case, punctuation, typos."""

import random
import re
from collections.abc import Collection

from demo.questions import Questions, normalized

_OPENINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "How do I ",
        (
            "How can I ",
            "How to ",
            "How should I ",
            "How would I ",
            "How do you ",
            "How must I ",
            "I want to ",
            "I would like to ",
            "Show me how to ",
            "What do I do to ",
            "What must I set to ",
            "What is the way to ",
            "Is there a way to ",
        ),
    ),
    (
        "Why do I get ",
        (
            "Why am I getting ",
            "I get ",
            "I see ",
            "I am getting ",
            "What causes ",
            "The server returns ",
            "The server answers ",
            "Why does the server return ",
            "My request gets ",
        ),
    ),
    (
        "Which variable ",
        (
            "What variable ",
            "Which setting ",
            "Which environment variable ",
            "Which env var ",
            "What setting ",
            "What is the variable that ",
        ),
    ),
    ("Which endpoint ", ("What endpoint ", "Which path ", "Which route ", "Which URL ")),
    ("Which ", ("What ",)),
    ("What is ", ("What's ", "What exactly is ", "Whats ", "Do you know what is ")),
    ("What does ", ("What exactly does ", "What would ", "Can you explain what does ")),
    ("What happens ", ("What will happen ", "What do I see ")),
    ("What if ", ("What happens if ", "And if ", "What happens when ")),
    ("Can I ", ("May I ", "Is it possible to ", "Could I ", "Am I able to ")),
    ("Can it ", ("Is it able to ", "Could it ", "Can this server ", "Can the server ")),
    ("Does it ", ("Will it ", "Does this ", "Does the server ", "Does this server ")),
    ("Is there ", ("Do you have ", "Is there also ", "Does it have ")),
    ("Where is ", ("Where's ", "Where do I find ", "Where can I find ")),
    ("Tell me about ", ("Say something about ", "What do you know about ", "Talk about ")),
    ("Explain ", ("Please explain ", "Can you explain ", "Could you explain ", "Clarify ")),
    ("Describe ", ("Please describe ", "Can you describe ", "Give a description of ")),
)

_SYNONYMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the server", ("this server", "it", "the runtime", "the inference server")),
    ("the model", ("my model", "a model", "this model")),
    ("variable", ("env variable", "environment variable", "setting")),
    ("the default of", ("the default value of", "the default for")),
    ("choose", ("pick", "select", "specify")),
    ("change", ("set", "modify", "adjust")),
    ("does it need", ("does it require",)),
    ("GPUs", ("graphics cards", "cards", "gpu")),
)

_BEFORE = (
    "Please: ",
    "Hi, ",
    "Hello, ",
    "Hey, ",
    "Quick question: ",
    "Question: ",
    "Excuse me, ",
    "Sorry, ",
    "OK, ",
    "So, ",
    "And ",
    "Can you tell me: ",
    "Could you tell me, ",
    "I wonder: ",
    "Now, ",
)
_AFTER = (
    ", please",
    " please",
    " Thanks",
    " Thank you",
    " exactly",
    " here",
    " then",
    " Tell me",
    " I do not know",
)
_ENDINGS = ("", ".", "!", "?", "??", " ?", "...", "\n")

_SMALL_WORDS = frozenset(
    {"a", "an", "the", "do", "does", "is", "are", "i", "it", "my", "of", "for"}
)

_LETTERS = "abcdefghijklmnopqrstuvwxyz"

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible.",
    "Be brief.",
    "Answer in one sentence.",
    "You are an expert in machine learning.",
    "You are a pirate.",
    "Answer in German.",
    "Today is Monday. The user lives in Paris.",
    "You answer questions about a server.",
    "Think step by step before you answer.",
    "Do not make things up. If you do not know the answer, say so.",
    "Use the tools that you have. Reply in JSON.",
    ".",
)


def one_of(
    rng: random.Random, question: str, table: tuple[tuple[str, tuple[str, ...]], ...]
) -> str:
    """Return ``question`` with another wording of the first phrase of ``table`` in it."""
    for phrase, others in table:
        if phrase in question:
            return question.replace(phrase, rng.choice(others), 1)
    return question


def with_other_opening(rng: random.Random, question: str) -> str:
    """Return ``question`` with another wording of its opening, if the table has one."""
    for opening, others in _OPENINGS:
        if question.startswith(opening):
            return rng.choice(others) + question.removeprefix(opening)
    return question


def with_polite_words(rng: random.Random, question: str) -> str:
    """Return ``question`` with polite words before or after it."""
    if rng.random() < 0.6:
        return rng.choice(_BEFORE) + question
    body = question.rstrip("?.! ")
    return body + rng.choice(_AFTER) + question[len(body) :].strip()


def with_other_case(rng: random.Random, question: str) -> str:
    """Return ``question`` in lower case, in upper case, or with a lower-case first letter."""
    chance = rng.random()
    if chance < 0.6:
        return question.lower()
    if chance < 0.8:
        return question.upper()
    return question[:1].lower() + question[1:]


def with_other_ending(rng: random.Random, question: str) -> str:
    """Return ``question`` with other or no punctuation at its end."""
    return question.rstrip("?.! ") + rng.choice(_ENDINGS)


def with_typing_error(rng: random.Random, question: str) -> str:
    """Return ``question`` with one letter dropped, doubled, swapped or replaced in a long word.

    Digits and the first letters of words stay: 503 and 504 are different questions.
    """
    words = list(re.finditer(r"[A-Za-z_]{4,}", question))
    if not words:
        return question
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    here, after = question[at], question[at + 1]
    dropped, doubled, swapped = after, here + here + after, after + here
    replaced = rng.choice(_LETTERS) + after
    return question[:at] + rng.choice((dropped, doubled, swapped, replaced)) + question[at + 2 :]


def with_word_dropped(rng: random.Random, question: str) -> str:
    """Return ``question`` without one of its small words; a short question stays."""
    words = question.split(" ")
    small = [at for at, word in enumerate(words) if word.lower() in _SMALL_WORDS]
    if len(words) < 4 or not small:
        return question
    at = rng.choice(small)
    return " ".join(words[:at] + words[at + 1 :])


def with_blanks_for_underscores(question: str) -> str:
    """Return ``question`` with ``NUM_SHARD`` written as ``NUM SHARD``."""
    return question.replace("_", " ")


def augmented(rng: random.Random, question: str, never: Collection[str] = ()) -> str:
    """Return a variant of ``question`` that a user could have typed.

    Returns ``question`` if the variant's normal form is in ``never``, so that training never sees
    held-out questions.
    """
    variant = question
    if rng.random() < 0.3:
        variant = with_other_opening(rng, variant)
    if rng.random() < 0.15:
        variant = one_of(rng, variant, _SYNONYMS)
    if rng.random() < 0.1:
        variant = with_word_dropped(rng, variant)
    if rng.random() < 0.12:
        variant = with_polite_words(rng, variant)
    if rng.random() < 0.35:
        variant = with_other_ending(rng, variant)
    if "_" in variant and rng.random() < 0.1:
        variant = with_blanks_for_underscores(variant)
    if rng.random() < 0.2:
        variant = with_typing_error(rng, variant)
    if rng.random() < 0.4:
        variant = with_other_case(rng, variant)
    return question if normalized(variant) in never else variant


def off_topic(rng: random.Random, questions: Questions) -> str:
    """Return a question that is not about this runtime: a filled pattern or random letters."""
    if rng.random() < 0.1:
        length = rng.randint(1, 4)
        return " ".join("".join(rng.choices(_LETTERS, k=rng.randint(1, 9))) for _ in range(length))
    # "{thing}" may occur twice in a pattern, and each occurrence gets a different thing
    parts = rng.choice(questions.off_topic_patterns).split("{thing}")
    filled = parts[0]
    for part in parts[1:]:
        filled += rng.choice(questions.off_topic_things) + part
    return filled[:1].upper() + filled[1:]
