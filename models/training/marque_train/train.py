"""Training on a CPU: Muon for the matrices, Adam for the rest.

A run is a pure function of its settings and seed but for the order of floating-point sums. Every
few minutes it writes a checkpoint, and takes it up again where it stopped.
"""

import json
import math
import queue
import random
import threading
import time

import torch
import torch.nn.functional as F

from .model import Network, Shape
from .packing import batches, rounded

# Which share of what is not called is looked at.
OTHER_SHARE = 0.2
# How many tokens of a batch say what they know in the middle, of each kind, and what that counts for.
PROBED, PROBE_WEIGHT = 256, 0.3


def ahead(generator, depth=8):
    """The same items, made in a thread of their own."""
    items = queue.Queue(depth)

    def work():
        for item in generator:
            items.put(item)

    threading.Thread(target=work, daemon=True).start()
    while True:
        yield items.get()


def orthogonal(matrix):
    """Newton-Schulz: the matrix with all its singular values near 1 (Muon, Jordan 2024)."""
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).float()


class Muon:
    """Momentum whose steps are orthogonal. Stacked matrices are stepped one by one."""

    def __init__(self, parts):
        self.parts = parts
        self.momentum = [torch.zeros_like(parameter) for parameter, _ in parts]

    @torch.no_grad()
    def step(self, rate):
        for (parameter, pieces), momentum in zip(self.parts, self.momentum):
            momentum.mul_(0.95).add_(parameter.grad)
            step = parameter.grad.add(momentum, alpha=0.95)
            for one, gradient in zip(parameter.chunk(pieces), step.chunk(pieces)):
                size = max(1.0, gradient.shape[0] / gradient.shape[1]) ** 0.5
                one.mul_(1 - rate * 0.1).add_(orthogonal(gradient), alpha=-rate * size)


# Of a run; what comes after it is the last part. The network is the mean of the one here and the one at the end:
# the first copies better, the second reads lines better and leaves alone what was not asked for.
FALLEN = 16 / 17


def schedule(done):
    """The share of the learning rate at this share of the run: warm up, hold, fall, and fall once more."""
    fall = done / FALLEN if done < FALLEN else done
    return min(1.0, done / 0.02) * (1.0 if fall < 0.6 else max(0.02, (1 - fall) / 0.4))


class Run:
    """A training run that can be interrupted."""

    def __init__(self, shape, tokenizer, folder, seed, total, batch=2400, rate=4e-3, threads=1):
        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.shape, self.tokenizer, self.folder = shape, tokenizer, folder
        self.seed, self.total, self.batch, self.rate = seed, total, batch, rate
        self.network = Network(shape, tokenizer)
        matrices = [(p, n) for l in self.network.layers for p, n in ((l.qkv, 3), (l.output, 1), (l.gate_up, 2), (l.down, 1))]
        inside = {id(parameter) for parameter, _ in matrices}
        self.rest = [p for p in self.network.parameters() if id(p) not in inside]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(self.rest, lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
        self.tokens = self.steps = self.pool = 0
        self.seconds = 0.0
        self.read = [0.0, 0.0]
        self.curve = []
        self.fallen = None
        self.noise = torch.Generator().manual_seed(seed)

    @property
    def checkpoint(self):
        return self.folder / "checkpoint.pt"

    def save(self):
        state = dict(
            network=self.network.state_dict(), adam=self.adam.state_dict(), momentum=self.muon.momentum,
            tokens=self.tokens, steps=self.steps, pool=self.pool, seconds=self.seconds, curve=self.curve,
            shape=self.shape.json(), seed=self.seed, total=self.total, tokenizer=self.tokenizer.digest(), noise=self.noise.get_state(),
            fallen=self.fallen,
        )
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def resume(self):
        """Takes up the checkpoint, if there is one of this run."""
        if not self.checkpoint.exists():
            return False
        state = torch.load(self.checkpoint, weights_only=True)
        if (state["shape"], state["seed"], state["tokenizer"]) != (self.shape.json(), self.seed, self.tokenizer.digest()):
            raise SystemExit(f"{self.checkpoint} is of another run: take another --folder, or delete it")
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        for mine, theirs in zip(self.muon.momentum, state["momentum"]):
            mine.copy_(theirs)
        self.tokens, self.steps, self.pool, self.seconds, self.curve = (state[key] for key in ("tokens", "steps", "pool", "seconds", "curve"))
        self.fallen = state["fallen"]
        self.noise.set_state(state["noise"])
        return True

    def step(self, batch):
        factor = schedule(self.tokens / self.total)
        # Matrices are multiplied in bfloat16, which CPUs of today do twice as fast; all else is not.
        with torch.autocast("cpu", torch.bfloat16):
            table = self.network.embeddings()
            hidden, left = self.network(batch, table)
        at = self.looked_at(batch.weights)
        with torch.autocast("cpu", torch.bfloat16):
            logits = F.linear(hidden[at], table).float()
        wanted, weight = batch.targets[at], batch.weights[at]
        losses = F.cross_entropy(logits, wanted, reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        middle = self.shape.layers // 2
        for which, (known, state) in enumerate(((batch.lines, left[max(middle - 1, 0)]), (batch.hints, left[middle]))):
            some = (known >= 0).nonzero()[:, 0]
            some = some[torch.randperm(len(some), generator=self.noise)[:PROBED]]
            with torch.autocast("cpu", torch.bfloat16):
                scores = self.network.probed(which, state[some], table).float()
            read = F.cross_entropy(scores, known[some])
            self.read[which] = read.item()
            loss = loss + PROBE_WEIGHT * read
        self.network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.rest, 1.0)
        self.muon.step(self.rate * factor * 5)
        for group in self.adam.param_groups:
            group["lr"] = self.rate * factor
        self.adam.step()
        self.tokens += len(batch)
        self.steps += 1
        if self.fallen is None and self.tokens >= FALLEN * self.total:
            self.fallen = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}
        with torch.no_grad():
            calls = weight >= 1
            right = (logits.argmax(-1) == wanted)[calls].float().mean().item()
            return losses[calls].mean().item(), right

    def looked_at(self, weights):
        """All of the calls, and by chance a share of the rest."""
        calls = (weights >= 1).nonzero()[:, 0]
        rest = ((weights > 0) & (weights < 1)).nonzero()[:, 0]
        count = rounded(len(calls) + int(OTHER_SHARE * len(rest)), 128) - len(calls)
        return torch.cat((calls, rest[torch.randperm(len(rest), generator=self.noise)[:count]]))

    def go(self, minutes=math.inf, report=25, keep=120.0):
        """Trains to the end of the token budget, or of the minutes."""
        source = ahead(batches(self.tokenizer, self.seed, self.batch, self.shape.context, self.pool))
        started, kept, loss, right = time.monotonic(), time.monotonic(), None, None
        before = self.seconds
        while self.tokens < self.total:
            batch, self.pool = next(source)
            new_loss, new_right = self.step(batch)
            loss = new_loss if loss is None else 0.97 * loss + 0.03 * new_loss
            right = new_right if right is None else 0.97 * right + 0.03 * new_right
            now = time.monotonic()
            self.seconds = before + now - started
            if self.steps % report == 0:
                speed = self.tokens / self.seconds
                left = (self.total - self.tokens) / speed / 60
                print(f"step {self.steps}  {self.tokens / 1e6:.2f} of {self.total / 1e6:.1f} M tokens  loss {loss:.4f}  call tokens right {right:.4f}  lines {self.read[0]:.2f}  goals {self.read[1]:.2f}  {speed:.0f} tokens/s  {left:.0f} min left", flush=True)
                self.curve.append([self.tokens, round(loss, 4), round(right, 4)])
            if now - kept > keep:
                self.save()
                kept = now
            if (now - started) / 60 > minutes:
                break
        self.save()
        return self.tokens >= self.total


def load(folder, tokenizer):
    """The network of a checkpoint; of a run that is over the mean of two."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    network = Network(Shape(**state["shape"]), tokenizer)
    weights = state["network"]
    if state["tokens"] >= state["total"] and state["fallen"] is not None:
        weights = {name: (tensor + state["fallen"][name]) / 2 for name, tensor in weights.items()}
    network.load_state_dict(weights)
    facts = {key: state[key] for key in ("tokens", "steps", "seconds", "seed", "total", "curve")}
    return network, facts


def summary(facts):
    return json.dumps({key: value for key, value in facts.items() if key != "curve"})
