"""Episodes that share a batch are learned as if each stood alone."""

import torch

from marque_train import episodes, packing, tokenizer
from marque_train.model import Network, Shape

SHAPE = Shape(width=32, layers=2, heads=2, inner=32, context=1024)


def made(count, seed=3):
    writer = episodes.Writer(seed)
    groups = [writer.group() for _ in range(count)]
    texts = [episode.goal for group in groups for episode in group]
    tok = tokenizer.Tokenizer(tokenizer.learn(texts, 400, least=3))
    return tok, [[packing.encode(tok, episode) for episode in group] for group in groups]


def test_a_row_sees_its_tools_and_itself_and_nothing_else():
    tok, groups = made(6)
    torch.manual_seed(1)
    network = Network(SHAPE, tok)

    def after(groups):
        batch = packing.pack([(group[0][0], [row for _, row in group]) for group in groups])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            hidden, _ = network(batch, network.embeddings())
        real = int(batch.weights.gt(0).sum())
        return batch.ids[:real], hidden[:real]

    ids, together = after(groups)
    # Rows lie by their length; each is looked for by its tokens.
    for group in groups:
        for system, row in group:
            length = len(row[0]) - 1
            wanted, alone = (column[-length:] for column in after([[(system, row)]]))
            spots = [at for at in range(len(ids) - length + 1) if torch.equal(ids[at : at + length], wanted)]
            near = [torch.allclose(together[at : at + length], alone, atol=0.05) for at in spots]
            assert any(near), "no place in the batch has what the episode has alone"
    # The same rows after other tools are something else: the comparison can fail.
    (system, row), (other, _) = groups[0][0], groups[1][0]
    length = len(row[0]) - 1
    assert not torch.allclose(after([[(system, row)]])[1][-length:], after([[(other, row)]])[1][-length:], atol=0.05)


def test_what_comes_next_is_what_is_learned():
    tok, groups = made(4)
    batch = packing.pack([(group[0][0], [row for _, row in group]) for group in groups])
    rows = [row for group in groups for _, row in group]
    assert batch.weights.gt(0).sum() == sum(len(group[0][0][0]) for group in groups) + sum(len(ids) - 1 for ids, *_ in rows)
    assert batch.weights.ge(1).sum() == sum(sum(one >= 1 for one in counts[1:]) for _, counts, _ in rows)
    choices = batch.targets[batch.weights > 1].tolist()
    assert choices and all(tok.tokens[choice].isalpha() for choice in choices), "what counts most begins a tool's name"
    at = 0
    for group in groups:
        system, _ = group[0][0]
        assert batch.ids[at : at + len(system)].tolist() == system
        assert batch.targets[at : at + len(system)].tolist() == [*system[1:], tok.special("<|user|>")]
        at += len(system)


def test_a_line_is_known_by_its_name_and_a_goal_by_its_tool():
    tok, _ = made(6)
    writer = episodes.Writer(4)
    for episode in [one for _ in range(60) for one in (*writer.group(), *writer.drill())]:
        (system, lines), (ids, counts, hints) = packing.encode(tok, episode)
        assert len(system) == len(lines) and len(ids) == len(counts) == len(hints)
        assert system == [tok.special("<|sys|>"), *tok.encode(episode.system())]
        # After its name, every token of a line has the name's first; nothing else has any.
        known, wanted = list(zip(system[1:], lines[1:])), []
        for at, tool in enumerate(episode.tools):
            name = tok.encode(tool.name)
            line = tok.encode("\n" * (at > 0) + tool.line())
            before = len(name) + (at > 0)
            wanted += [(id, packing.NONE if place < before else name[0]) for place, id in enumerate(line)]
        assert known == wanted
        goal = tok.encode(episode.goal)
        tool = tok.encode(episode.steps[0][0]["tool"])
        assert hints[1 : 1 + len(goal)] == [tool[0] if tool else packing.NONE] * len(goal)
        assert set(hints[:1] + hints[1 + len(goal) :]) == {packing.NONE}


def test_every_tool_has_a_name():
    writer = episodes.Writer(6)
    assert all(tool.name for _ in range(400) for episode in writer.group() for tool in episode.tools)


def test_the_episodes_of_a_group_share_their_tools():
    writer = episodes.Writer(5)
    for _ in range(300):
        group = writer.group()
        assert len({episode.system() for episode in group}) == 1
        for episode in group:
            names = [tool.name for tool in episode.tools]
            assert len(set(names)) == len(names)
            assert episode.kind == "job_done" or {call["tool"] for call, _ in episode.steps} <= set(names)
