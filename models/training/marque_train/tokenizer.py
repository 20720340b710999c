"""Byte-level BPE in the form that llama.cpp reads as `gpt2`, learned so that copying is easy.

INVARIANT: what is copied has the same tokens wherever it stands (tests/test_tokenizer.py). No merge
holds a digit; marks merge only into the pieces of JSON that calls are made of; and a leading space
merges only with a whole word, so that a name that is no word has the same tokens after a space, a
quotation mark or a slash. The pairs `word`, ` word` and `Word` share an embedding (`model.py`), so
that the model does not have to learn for each word that they belong together.
"""

import collections
import hashlib
import json
import re

import regex

# llama.cpp splits like this before it merges (LLAMA_VOCAB_PRE_TYPE_GPT2).
PIECES = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
SPECIAL = ["<|pad|>", "<|sys|>", "<|user|>", "<|call|>", "<|result|>", "<|end|>"]
# The only merges of marks, in this order.
MARKS = [
    ("}", "}"), ('"', "}}"), ('"', ":"), ('":', '"'), ('"', ","), ('",', '"'), ("{", '"'), ('":', '{"'),
    (":", "/"), (":/", "/"), ("[", '"'), ('"', "]"), ('":', '["'), ('"', "}"),
]
SPACE = "Ġ"


def byte_letters():
    """GPT-2's letter for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, fresh = {}, 256
    for byte in range(256):
        if byte in plain:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(fresh)
            fresh += 1
    return letters


LETTERS = byte_letters()
BYTES = {letter: byte for byte, letter in LETTERS.items()}


def spell(text):
    return "".join(LETTERS[byte] for byte in text.encode())


def learn(texts, size, least=12):
    """Merges from texts: letters into words, most frequent first, until the vocabulary is full."""
    words, spaced = collections.Counter(), collections.Counter()
    for text in texts:
        for piece in PIECES.findall(text):
            bare = piece.lstrip(" ")
            if bare.isascii() and bare.isalpha():
                words[bare] += 1
                if bare != piece:
                    spaced[bare] += 1
    merges = list(MARKS)
    letters = {tuple(word): count for word, count in words.items()}
    room = size - 256 - len(SPECIAL)
    tokens = len(merges)

    def pairs_of(word):
        return zip(word, word[1:])

    counts = collections.Counter()
    where = collections.defaultdict(set)
    current = list(letters.items())
    for index, (word, count) in enumerate(current):
        for pair in pairs_of(word):
            counts[pair] += count
            where[pair].add(index)
    spaces = {}
    while tokens < room:
        # The most frequent pair; of equals the first by name, so that a seed means one vocabulary.
        pair = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if pair is None or counts[pair] < least:
            break
        whole = pair[0] + pair[1]
        merges.append(pair)
        tokens += 1
        for index in list(where[pair]):
            word, count = current[index]
            for old in pairs_of(word):
                counts[old] -= count
            joined, at = [], 0
            while at < len(word):
                if word[at : at + 2] == pair:
                    joined.append(whole)
                    at += 2
                else:
                    joined.append(word[at])
                    at += 1
            word = tuple(joined)
            current[index] = (word, count)
            for new in pairs_of(word):
                counts[new] += count
                where[new].add(index)
            if len(word) == 1 and spaced[word[0]] >= 4 * least and tokens < room:
                spaces[word[0]] = spaced[word[0]]
                tokens += 1
        del counts[pair]
    return merges + [(SPACE, word) for word, _ in sorted(spaces.items(), key=lambda item: (-item[1], item[0]))]


class Tokenizer:
    """Texts to ids and back."""

    def __init__(self, merges):
        self.merges = [tuple(merge) for merge in merges]
        self.ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        vocabulary = dict.fromkeys(LETTERS[byte] for byte in range(256))
        vocabulary.update(dict.fromkeys(a + b for a, b in self.merges))
        self.tokens = list(vocabulary)
        self.plain = len(self.tokens)
        self.tokens += SPECIAL
        while len(self.tokens) % 64:
            self.tokens.append(f"<|unused{len(self.tokens)}|>")
        self.ids = {token: id for id, token in enumerate(self.tokens)}
        self.known = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(json.load(file)["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"merges": self.merges}, file, ensure_ascii=False)

    def special(self, token):
        return self.ids[token]

    def piece(self, text):
        """The ids of a piece between the splits."""
        ids = self.known.get(text)
        if ids is None:
            parts = list(spell(text))
            while len(parts) > 1:
                rank, at = min((self.ranks.get(pair, len(self.ranks)), at) for at, pair in enumerate(zip(parts, parts[1:])))
                if rank == len(self.ranks):
                    break
                # llama.cpp merges the leftmost of the best pair, and looks again.
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            ids = [self.ids[part] for part in parts]
            if len(self.known) < 300_000:
                self.known[text] = ids
        return ids

    def encode(self, text):
        """The ids of a text. Nothing in it becomes a special token."""
        ids = []
        for piece in PIECES.findall(text):
            ids += self.piece(piece)
        return ids

    def decode(self, ids):
        data = b"".join(
            self.tokens[id].encode() if id >= self.plain else bytes(BYTES[letter] for letter in self.tokens[id])
            for id in ids
        )
        return data.decode("utf-8", "replace")

    def shape(self):
        """For each id: the id of its plain word, whether it has a space before it, a capital."""
        base, space, capital = [], [], []
        for id, token in enumerate(self.tokens):
            bare = token
            spaced = id < self.plain and len(token) > 1 and token.startswith(SPACE)
            if spaced:
                bare = token[1:]
            big = id < self.plain and len(bare) > 1 and bare[0].isupper() and bare.isascii() and bare[0].lower() + bare[1:] in self.ids
            if big:
                bare = bare[0].lower() + bare[1:]
            base.append(self.ids[bare])
            space.append(float(spaced))
            capital.append(float(big))
        return base, space, capital

    def digest(self):
        return hashlib.sha256(json.dumps(self.tokens, ensure_ascii=False).encode()).hexdigest()


def splits_special(text):
    """Whether a text holds what looks like a special token; templates alone may say one."""
    return bool(re.search(r"<\|\w+\|>", text))
