"""Training is repeatable, and goes on where it stopped."""

import torch

from marque_train import episodes, tokenizer
from marque_train.model import Shape
from marque_train.packing import DRILLS, batches
from marque_train.train import Run

SHAPE = Shape(width=32, layers=1, heads=1, inner=32, context=512)


def small():
    writer = episodes.Writer(3)
    return tokenizer.Tokenizer(tokenizer.learn([writer.episode().goal for _ in range(200)], 400, least=3))


def test_a_run_that_was_interrupted_has_the_state_that_it_left(tmp_path):
    tok = small()
    run = Run(SHAPE, tok, tmp_path, seed=1, total=10_000)
    source = batches(tok, 1, 1500, 512, DRILLS)
    for _ in range(3):
        run.step(next(source)[0])
    run.save()
    again = Run(SHAPE, tok, tmp_path, seed=1, total=10_000)
    assert again.resume()
    batch, _ = next(source)
    assert run.step(batch) == again.step(batch)
    for mine, theirs in zip(run.network.parameters(), again.network.parameters()):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    tok = small()
    Run(SHAPE, tok, tmp_path, seed=1, total=10_000).save()
    try:
        Run(SHAPE, tok, tmp_path, seed=2, total=10_000).resume()
    except SystemExit as error:
        assert "another run" in str(error)
    else:
        raise AssertionError("the checkpoint of seed 1 was taken for seed 2's")


def test_the_same_seed_gives_the_same_batches():
    tok = small()
    one, two = batches(tok, 7, 2000, 512, DRILLS), batches(tok, 7, 2000, 512, DRILLS)
    for _ in range(3):
        assert torch.equal(next(one)[0].ids, next(two)[0].ids)


def test_a_call_is_learned_and_what_is_read_is_hardly(tmp_path):
    tok = small()
    batch, _ = next(batches(tok, 7, 2000, 512, DRILLS))
    padding, hardly, whole, choice = batch.weights.unique().tolist()
    assert padding == 0.0 and hardly < 0.1 and whole == 1.0 < choice
