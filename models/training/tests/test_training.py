"""Training is repeatable, and goes on where it stopped."""

import torch

from marque_train import episodes, tokenizer
from marque_train.model import Shape
from marque_train.train import Run, batches

SHAPE = Shape(width=32, layers=1, heads=1, inner=32, context=512)


def small():
    writer = episodes.Writer(3)
    return tokenizer.Tokenizer(tokenizer.learn([writer.episode().goal for _ in range(200)], 400, least=3))


def test_a_run_that_was_interrupted_has_the_state_that_it_left(tmp_path):
    tok = small()
    run = Run(SHAPE, tok, tmp_path, seed=1, total=10_000)
    source = batches(tok, 1, 1500, 512)
    for _ in range(3):
        run.step(*next(source)[:4])
    run.save()
    again = Run(SHAPE, tok, tmp_path, seed=1, total=10_000)
    assert again.resume()
    batch = next(source)[:4]
    assert run.step(*batch) == again.step(*batch)
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
    one, two = batches(tok, 7, 2000, 512), batches(tok, 7, 2000, 512)
    for _ in range(3):
        assert torch.equal(next(one)[0], next(two)[0])


def test_a_call_is_learned_and_what_is_read_is_hardly(tmp_path):
    tok = small()
    _, _, weights, _, _ = next(batches(tok, 7, 2000, 512))
    assert set(weights.unique().tolist()) <= {0.0, weights[weights > 0].min().item(), 1.0}
    assert (weights == 1).any()
