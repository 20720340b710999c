"""What is evaluated is never trained on."""

import ast
import hashlib
import pathlib
import random

from marque_train import episodes, sets
from marque_train.entities import Entities, held_out
from marque_train.tools import BUILT_IN, CATALOGUE

PACKAGE = pathlib.Path(episodes.__file__).parent


def test_training_and_evaluation_share_no_entity():
    kinds = ("payee", "url", "path", "usdc", "task", "skill", "value", "free_text")
    for kind in kinds:
        drawn = [{getattr(Entities(random.Random(seed), evaluation), kind)() for seed in range(400)} for evaluation in (False, True)]
        assert not drawn[0] & drawn[1], kind
        assert all(held_out(value) for value in drawn[1])


def test_training_uses_no_phrasing_that_is_held_out():
    writer = episodes.Writer(1)
    said = {writer.author.skeleton([pattern]) for pattern in ("[a|b|c|d|e|f|g|h] [i|j|k|l] [m|n|o|p|q|r]",) for _ in range(2000)}
    assert said and not any(held_out(text, "phrasing") for text in said)


def test_nothing_that_trains_reads_the_sets_written_by_hand():
    for path in PACKAGE.glob("*.py"):
        if path.name in ("sets.py", "__main__.py"):
            continue
        tree = ast.parse(path.read_text())
        imported = [alias.name for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names]
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        assert "sets" not in imported, path
        assert not any(".txt" in text and "/" in text and "sets" in text for text in texts), path


def test_the_sets_written_by_hand_are_those_that_were_committed_first():
    for line in (sets.BY_HAND / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((sets.BY_HAND / name).read_bytes()).hexdigest() == digest, name


def test_no_tool_that_is_trained_on_is_an_unseen_one():
    names = sets.BY_HAND_SETS[sets.unseen_tools]
    unseen = {case["steps"][0]["expect"]["tool"] for name in names for case in sets.unseen_tools(name)}
    trained = set(BUILT_IN) | {name for names, *_ in CATALOGUE for name in names.split("|")}
    assert len(unseen) == 150 and not unseen & trained


def test_the_sets_are_as_large_as_they_claim():
    sizes = {name: sum(1 for _ in made(name)) for made, names in sets.BY_HAND_SETS.items() for name in names}
    assert sizes["by-hand"] >= 300 and sizes["nothing-payable"] >= 300
    assert sizes["by-hand-second"] == sizes["nothing-payable-second"] == 120
    assert sum(1 for _ in sets.injections()) >= 500


def test_no_goal_of_the_generator_stands_in_a_set_written_by_hand():
    by_hand = {case["goal"] for made, names in sets.BY_HAND_SETS.items() for name in names for case in made(name)}
    writer = episodes.Writer(20261126 * 1_000_003)
    assert not by_hand & {writer.episode().goal for _ in range(5000)}
