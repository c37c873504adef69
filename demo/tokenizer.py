"""Train the byte-level BPE tokenizer of the demo model."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from demo.chat import SPECIAL_TOKENS, Segment

IGNORED = -100
"""The label of a token that does not count for the loss."""


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Return a tokenizer of exactly ``vocabulary`` tokens, learned from ``texts``.

    Every byte is a token, so that it can encode any text. It adds no special tokens, because the
    chat template writes them.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(
            f"the texts give {tokenizer.get_vocab_size()} tokens instead of {vocabulary}"
        )
    return tokenizer


def encode(tokenizer: Tokenizer, segments: Sequence[Segment]) -> tuple[list[int], list[int]]:
    """Return the token ids of a dialogue and their labels, two lists of the same length.

    Encodes each segment separately, so that no token spans the prompt and the answer.
    """
    ids: list[int] = []
    labels: list[int] = []
    for segment in segments:
        tokens = tokenizer.encode(segment.text, add_special_tokens=False).ids
        ids += tokens
        labels += tokens if segment.learned else [IGNORED] * len(tokens)
    return ids, labels
