"""Phrases: what they expand to, and that those of the generator are whole."""

import random

import pytest

from marque_train import author, grammar, idle, phrases


def test_an_expansion_is_one_of_the_texts_and_all_are_met():
    pattern = "[please |]pay [<who>|[the|my] baker] now"
    seen = {grammar.expand(random.Random(seed), pattern) for seed in range(200)}
    assert len(seen) == grammar.size(pattern) == 6
    assert grammar.fill("pay <who> <amount>", dict(who="Bob", amount="5 USDC")) == "pay Bob 5 USDC"


def test_a_bracket_that_is_not_closed_is_an_error():
    with pytest.raises(ValueError):
        grammar.expand(random.Random(1), "[a|b")


def test_no_phrase_of_the_generator_leaves_a_bracket_or_a_bar():
    rng = random.Random(3)
    for module in (phrases, idle):
        for name, patterns in vars(module).items():
            if name.isupper() and isinstance(patterns, list):
                for pattern in patterns:
                    for _ in range(5):
                        assert not set("[]|") & set(grammar.expand(rng, pattern)), (name, pattern)


def test_the_same_seed_writes_the_same_goals():
    one, two = (author.Author(random.Random(5)) for _ in range(2))
    assert [one.idle() for _ in range(50)] == [two.idle() for _ in range(50)]
