"""The network: llama's, as small as it goes, so that llama.cpp runs it as it stands.

Embeddings are tied, and composed while training: a token is its plain word, plus one vector for a
leading space and one for a capital. The file holds the sums. RoPE turns neighbouring pairs, which
is llama.cpp's order for `llama`, so nothing is permuted on the way out.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Shape:
    """How large a model is."""

    width: int = 160
    layers: int = 6
    heads: int = 5
    inner: int = 448
    context: int = 2048
    rope: float = 1_000_000.0
    epsilon: float = 1e-5

    @property
    def head(self):
        return self.width // self.heads

    def json(self):
        return asdict(self)


def normal(*shape, scale):
    return nn.Parameter(torch.randn(*shape) * scale)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, inner, out = shape.width, shape.inner, (2 * shape.layers) ** -0.5
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.qkv = normal(3 * width, width, scale=width**-0.5)
        self.output = normal(width, width, scale=width**-0.5 * out)
        self.inner_norm = nn.Parameter(torch.ones(width))
        self.gate_up = normal(2 * inner, width, scale=width**-0.5)
        self.down = normal(width, inner, scale=inner**-0.5 * out)


class Network(nn.Module):
    """Ids to hidden states; `scores` turns those into logits."""

    def __init__(self, shape, tokenizer):
        super().__init__()
        self.shape = shape
        base, space, capital = tokenizer.shape()
        self.register_buffer("base", torch.tensor(base), persistent=False)
        self.register_buffer("marks", torch.tensor([space, capital]).T, persistent=False)
        self.words = normal(len(base), shape.width, scale=0.02)
        self.mark_vectors = normal(2, shape.width, scale=0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        # What reads the tokens' knowledge out of the middle while training; no part of the file.
        self.probes = nn.ParameterList(normal(shape.width, shape.width, scale=shape.width**-0.5) for _ in range(2))
        rates = shape.rope ** (-torch.arange(0, shape.head, 2) / shape.head)
        angles = torch.arange(shape.context)[:, None, None] * rates
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def embeddings(self):
        return self.words[self.base] + self.marks @ self.mark_vectors

    def forward(self, batch, table):
        """Hidden states of a batch's tokens (`packing`), which lie one behind the other without padding, and what each
        layer left."""
        shape = self.shape
        turns = self.turns[batch.positions]
        rows = (-1, shape.heads, shape.head)

        def turn(x):
            pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
            return torch.view_as_real(pairs * turns).flatten(-2)

        state, left = F.embedding(batch.ids, table), []
        for layer in self.layers:
            normed = F.rms_norm(state, (shape.width,), layer.attention_norm, shape.epsilon)
            q, k, v = F.linear(normed, layer.qkv).chunk(3, -1)
            q = turn(q.view(rows)).mul(shape.head**-0.5).flatten(1).bfloat16()
            k = turn(k.view(rows)).flatten(1).bfloat16()
            seen = torch.cat([self.attend(part, q, k, v.bfloat16()) for part in batch.parts])
            seen = F.pad(seen, (0, 0, 0, len(batch) - len(seen)))
            state = state + F.linear(seen, layer.output)
            normed = F.rms_norm(state, (shape.width,), layer.inner_norm, shape.epsilon)
            gate, up = F.linear(normed, layer.gate_up).chunk(2, -1)
            state = state + F.linear(F.silu(gate) * up, layer.down)
            left.append(state)
        return F.rms_norm(state, (shape.width,), self.norm, shape.epsilon), left

    def probed(self, which, state, table):
        """Scores of what a layer's states know: 0 for the line, 1 for the goal."""
        return F.linear(F.linear(F.rms_norm(state, state.shape[-1:]), self.probes[which]), table)

    def attend(self, part, q, k, v):
        """What the rows of a part see: themselves up to each token, after what they continue."""
        heads = self.shape.heads

        def at(x, index):
            # Rows in a tensor of their own: (rows, tokens, width) as (rows, heads, tokens, head).
            return x.index_select(0, index.view(-1)).view(*index.shape, heads, -1).transpose(1, 2)

        # Written out: on a CPU the fused kernel is slower, backwards by far.
        with torch.autocast("cpu", enabled=False):
            scores = at(q, part.own) @ at(k, part.context).transpose(-1, -2)
            seen = torch.softmax(scores + part.hidden, -1) @ at(v, part.context)
        return seen.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, part.valid)

    def tensors(self):
        """The weights by llama.cpp's names."""
        named = {"token_embd.weight": self.embeddings(), "output_norm.weight": self.norm}
        for index, layer in enumerate(self.layers):
            q, k, v = layer.qkv.chunk(3)
            gate, up = layer.gate_up.chunk(2)
            for name, tensor in dict(
                attn_norm=layer.attention_norm, attn_q=q, attn_k=k, attn_v=v, attn_output=layer.output,
                ffn_norm=layer.inner_norm, ffn_gate=gate, ffn_up=up, ffn_down=layer.down,
            ).items():
                named[f"blk.{index}.{name}.weight"] = tensor
        return {name: tensor.detach().float().numpy() for name, tensor in named.items()}
