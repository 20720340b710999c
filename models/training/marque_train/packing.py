"""Batches without waste: what several episodes have in common stands in them once.

A group is a list of tools and the episodes that begin with it. Its tokens are the system text, and
each episode's own as a row that continues it; a row sees the system text and itself, and is at the
positions that it would have alone, so that an episode is learned as if it stood by itself
(tests/test_packing.py). Rows lie one behind the other; only attention pads them, among rows of
about the same length.
"""

import random
from dataclasses import dataclass

import torch

from . import episodes

# What counts for how much in the loss: other texts than calls, and where a tool is chosen, which is one token
# of a call's forty.
OTHER_WEIGHT, CHOICE_WEIGHT = 0.05, 8.0
# Groups that are sorted by length together.
POOL = 240
# Pools of drills alone, which a run begins with: some million tokens; and how many groups of the later ones are.
DRILLS, DRILLED = 30, 0.34
# From this pool on, where lines are read well, so few groups are drills, and so many are of goals that mostly
# ask for nothing.
QUIET, REFRESHED, QUIETED = 100, 0.05, 0.2
# And from this one on, which is where a run of 34 million tokens has learned its calls, more of both.
LAST, REFRESHED_LAST, QUIETED_LAST = 294, 0.25, 0.3
# Rows that attend together.
ROWS = 8
# Where a token has nothing to know.
NONE = -1


@dataclass(frozen=True)
class Part:
    """Rows that attend together: which tokens are theirs, which they see, and where none is."""

    own: torch.Tensor  # rows, tokens
    context: torch.Tensor  # rows, tokens before and their own
    hidden: torch.Tensor  # rows, 1, tokens, tokens before and their own
    valid: torch.Tensor  # the tokens that are no padding, of all rows


@dataclass(frozen=True)
class Batch:
    """Tokens, what comes after each, and what that counts for: nothing for those that fill it up."""

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    lines: torch.Tensor
    hints: torch.Tensor
    parts: list

    def __len__(self):
        return len(self.ids)


def encode(tokenizer, episode):
    """A text in ids: `(system, lines)` and `(ids, counts, hints)`.

    `counts` is what each id counts for in the loss, `lines` and `hints` are what a token should know at
    half of the network's depth: the name of the line that it stands in, and the tool that its goal is for.
    """
    system, ids, counts, lines, hints = [], [], [], [], []
    chosen = len(tokenizer.encode('{"tool":"'))
    wanted = (tokenizer.encode(episode.steps[0][0]["tool"]) or [NONE])[0]
    for number, (text, special, target) in enumerate(episodes.render(episode)):
        piece = [tokenizer.special(text)] if special else tokenizer.encode(text)
        if number == 0:
            system, lines = piece, [NONE]
        elif number == 1:
            for at, tool in enumerate(episode.tools):
                name, line = tokenizer.encode(tool.name), tokenizer.encode("\n" * (at > 0) + tool.line())
                system += line
                lines += [NONE] * (len(name) + (at > 0)) + [name[0]] * (len(line) - len(name) - (at > 0))
        else:
            ids += piece
            hints += [wanted if number == 3 else NONE] * len(piece)
            counts += [1.0 if target else OTHER_WEIGHT] * len(piece)
            if target and not special:
                counts[chosen - len(piece)] = CHOICE_WEIGHT
    return (system, lines), (ids, counts, hints)


def rounded(size, step):
    """Sizes that come again: kernels are made for a size once, which takes longer than to run them."""
    return -(-size // step) * step


def part(starts, lengths, before):
    """Rows of the batch that begin at `starts`, each after a system text `before`: its start and length."""
    width, reach = rounded(max(lengths), 16), rounded(max(length for _, length in before), 32)
    steps, past = torch.arange(width), torch.arange(reach)
    start, length = torch.tensor(starts)[:, None], torch.tensor(lengths)[:, None]
    first, taken = (torch.tensor(column)[:, None] for column in zip(*before))
    # Padding points at the batch's first token, and is hidden.
    own = torch.where(steps < length, start + steps, 0)
    context = torch.cat((torch.where(past < taken, first + past, 0), own), 1)
    missing = (past >= taken)[:, None].expand(-1, width, -1)
    later = (steps > steps[:, None]).expand(len(starts), -1, -1)
    hidden = torch.zeros(len(starts), 1, width, reach + width, dtype=torch.bfloat16)
    hidden[:, 0].masked_fill_(torch.cat((missing, later), 2), float("-inf"))
    return Part(own, context, hidden, (steps < length).view(-1).nonzero()[:, 0])


def pack(groups):
    """One batch of groups `((system, lines), [(ids, counts, hints), ...])`."""
    ids, positions, targets, weights, lines, hints = [], [], [], [], [], []
    systems, rows = [], []
    for (system, names), members in groups:
        systems.append((len(ids), len(system)))
        ids += system
        positions += range(len(system))
        targets += [*system[1:], members[0][0][0]]
        weights += [OTHER_WEIGHT] * len(system)
        lines += names
        hints += [NONE] * len(system)
        rows += [(systems[-1], *member) for member in members]
    parts = [part([start for start, _ in systems], [length for _, length in systems], [(0, 0)] * len(systems))]
    rows.sort(key=lambda row: len(row[1]))
    for number in range(0, len(rows), ROWS):
        some = rows[number : number + ROWS]
        starts = []
        for (_, length), row, counts, goal in some:
            starts.append(len(ids))
            ids += row[:-1]
            positions += range(length, length + len(row) - 1)
            targets += row[1:]
            weights += counts[1:]
            lines += [NONE] * (len(row) - 1)
            hints += goal[:-1]
        parts.append(part(starts, [len(row) - 1 for _, row, _, _ in some], [before for before, *_ in some]))
    padding = [0] * (rounded(len(ids), 128) - len(ids))
    columns = [torch.tensor(column + padding) for column in (ids, positions, targets, weights)]
    known = [torch.tensor(column + [NONE] * len(padding)) for column in (lines, hints)]
    return Batch(*columns, *known, parts)


def group(writer, number):
    """The episodes of a group in this pool."""
    if number < DRILLS:
        return writer.drill()
    if number < QUIET:
        return writer.drill() if writer.chance(DRILLED) else writer.group()
    refreshed, quieted = (REFRESHED, QUIETED) if number < LAST else (REFRESHED_LAST, QUIETED_LAST)
    draw = writer.rng.random()
    if draw < refreshed:
        return writer.drill()
    return writer.together(quiet=True) if draw < refreshed + quieted else writer.group()


def batches(tokenizer, seed, tokens, context, start=0):
    """Batches of about `tokens` tokens without end, from pool number `start` on, each with the number to go on from."""
    number = start
    while True:
        writer = episodes.Writer(seed * 1_000_003 + number)
        pool = []
        for _ in range(POOL):
            made = [encode(tokenizer, episode) for episode in group(writer, number)]
            members = [row for (system, _), row in made if len(system) + len(row[0]) <= context]
            if members:
                pool.append((made[0][0], members))
        sizes = [len(system) + sum(len(ids) - 1 for ids, *_ in members) for (system, _), members in pool]
        order = random.Random(number).sample(range(len(pool)), len(pool))
        current, size, out = [], 0, []
        for at in order:
            if current and size + sizes[at] > tokens:
                out.append(pack(current))
                current, size = [], 0
            current.append(pool[at])
            size += sizes[at]
        out.append(pack(current))
        for index, batch in enumerate(out):
            yield batch, number + (index == len(out) - 1)
        number += 1
