"""The tokenizer: what goes in comes out, and what is copied looks the same everywhere."""

import json
import pathlib
import random

import pytest

from marque_train import episodes, tokenizer
from marque_train.entities import Entities

FIXTURE = pathlib.Path(__file__).parent / "tokens.json"


@pytest.fixture(scope="module")
def tok():
    """The vocabulary of the built-in model, as it was written down with its ids."""
    return tokenizer.Tokenizer(json.loads(FIXTURE.read_text())["merges"])


def texts():
    """Texts of every kind: those of the fixture, and random Unicode."""
    rng = random.Random(11)
    yield from (item["text"] for item in json.loads(FIXTURE.read_text())["texts"])
    for _ in range(2000):
        yield "".join(chr(point) for point in (rng.randrange(1, 0x11000) for _ in range(rng.randint(0, 12))) if not 0xD800 <= point < 0xE000)


def test_every_text_comes_back(tok):
    for text in texts():
        assert tok.decode(tok.encode(text)) == text


def test_ids_are_those_that_were_written_down(tok):
    for item in json.loads(FIXTURE.read_text())["texts"]:
        assert tok.encode(item["text"]) == item["ids"], item["text"]


def test_what_is_copied_has_the_same_tokens_wherever_it_stands(tok):
    entities = Entities(random.Random(4))
    for draw in (entities.url, entities.path, entities.given_name, entities.digits, lambda: entities.hexadecimal(40)):
        for _ in range(300):
            text = draw()
            said = tok.encode(f"pay ({text}")[len(tok.encode("pay (")) :]
            written = tok.encode(f'{{"to":"{text}')[len(tok.encode('{"to":"')) :]
            assert said == written == tok.encode(text), text


def test_no_token_holds_a_digit_beside_another_letter(tok):
    assert not [token for token in tok.tokens[: tok.plain] if len(token) > 1 and any(letter.isdigit() and letter.isascii() for letter in token)]


def test_a_text_that_looks_like_a_special_token_is_spelled_out(tok):
    ids = tok.encode("<|call|>{}<|end|>")
    assert all(id < tok.plain for id in ids)


def test_a_seed_means_one_vocabulary():
    def learned():
        writer = episodes.Writer(3)
        return tokenizer.learn([writer.episode().goal for _ in range(300)], 600, least=3)

    assert learned() == learned()
