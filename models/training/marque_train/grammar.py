"""Phrases with alternatives: `[please|could you] pay <who>` is one of two texts with a slot.

An expansion is a pure function of the random generator that it is given. Its skeleton, the text
before slots are filled, is what phrasings are split by.
"""

import functools
import re

SLOT = re.compile(r"<(\w+)>")


@functools.cache
def _parse(text):
    """A tree of tuples: a sequence of texts and of choices between sequences."""
    at = 0

    def sequence(inside):
        nonlocal at
        parts, start = [], at
        while at < len(text) and not (inside and text[at] in "|]"):
            if text[at] == "[":
                parts.append(text[start:at])
                at += 1
                choices = [sequence(True)]
                while at < len(text) and text[at] == "|":
                    at += 1
                    choices.append(sequence(True))
                if at >= len(text):
                    raise ValueError(f"a bracket is not closed in {text!r}")
                at += 1
                parts.append(tuple(choices))
                start = at
            else:
                at += 1
        parts.append(text[start:at])
        return parts

    tree = sequence(False)
    return tree


def expand(rng, text):
    """One of the texts that `text` stands for, slots unfilled."""
    out = []

    def walk(parts):
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            else:
                walk(part[int(rng.random() * len(part))])

    walk(_parse(text))
    return "".join(out)


def fill(skeleton, slots):
    """The skeleton with its slots filled."""
    return SLOT.sub(lambda match: str(slots[match.group(1)]), skeleton)


def size(text):
    """How many texts `text` stands for."""

    def count(parts):
        total = 1
        for part in parts:
            if not isinstance(part, str):
                total *= sum(count(choice) for choice in part)
        return total

    return count(_parse(text))
