"""Training is repeatable, and goes on where it stopped."""

import torch

from marque_train import episodes, tokenizer
from marque_train.model import Shape
from marque_train.packing import DRILLS, batches
from marque_train.train import FALLEN, Run, load, schedule

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


def test_the_learning_rate_falls_to_nothing_twice():
    at = [round(schedule(share), 2) for share in (0.01, 0.3, FALLEN - 1e-6, FALLEN, 1.0)]
    assert at == [0.5, 1.0, 0.02, 0.15, 0.02]


def test_a_run_that_is_over_is_the_mean_of_where_it_had_fallen_first_and_its_end(tmp_path):
    tok = small()
    run = Run(SHAPE, tok, tmp_path, seed=1, total=20_000, batch=500)
    assert run.go()
    first, last = run.fallen["norm"], run.network.norm.detach()
    assert not torch.equal(first, last)
    network, _ = load(tmp_path, tok)
    assert torch.equal(network.norm.detach(), (first + last) / 2)
    # One that is not stays what it is.
    run.total = 1_000_000
    run.save()
    assert torch.equal(load(tmp_path, tok)[0].norm.detach(), last)
