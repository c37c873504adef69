"""Hostile bytes are repeatable, and those without a key do not contain it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from benchmarks.hostile import wire
from benchmarks.hostile.attack import Attack

KEY = "right"


@pytest.mark.parametrize("kind", wire.KINDS)
def test_wire_attacks_follow_from_the_seed(
    kind: Callable[[random.Random, str], Attack],
) -> None:
    made = [kind(random.Random(seed), KEY) for seed in range(40)]
    assert made == [kind(random.Random(seed), KEY) for seed in range(40)]
    assert len({attack.payload for attack in made}) > 5
    assert all(attack.payload for attack in made)


def test_an_attack_without_a_key_does_not_contain_it() -> None:
    rng = random.Random(0)
    for attack in (wire.wire_attack(rng, KEY) for _ in range(2_000)):
        if not attack.keyed:
            assert f"Bearer {KEY}\r\n".encode() not in attack.payload
