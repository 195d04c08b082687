"""Small transformers, and attention in all the ways that people write it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """A vision transformer of one layer for samples (1, 14, 14), with torch's own encoder layer."""

    def __init__(self, token: bool = True, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.patch = nn.Conv2d(1, 8, 7, 7)
            self.token = nn.Parameter(torch.randn(1, 1, 8)) if token else None
            self.position = nn.Parameter(torch.randn(1, 5 if token else 4, 8))
            self.layer = nn.TransformerEncoderLayer(
                8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = self.norm(self.layer(x + self.position))
        return self.head(x[:, 0] if self.token is not None else x.mean(1))


FORMS = ("unbind", "chunk", "index", "split", "baked in", "tokens first", "with weights")


class Attention(nn.Module):
    """One attention over tokens (4, 8), in the form that is named, and a layer of neurons."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.qkv, self.whole = nn.Linear(8, 24), nn.MultiheadAttention(8, 2, batch_first=form != "tokens first")
            self.hidden, self.head = nn.Linear(8, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        form = self.form
        if form == "tokens first":
            x = x.permute(1, 0, 2)
            y = x + self.whole(x, x, x, need_weights=False)[0]
            return self.head(F.relu(self.hidden(y.mean(0))))
        if form in ("baked in", "with weights"):
            y = self.whole(x, x, x, need_weights=form == "with weights")[0]
        else:
            y = self._explicit(x)
        return self.head(F.relu(self.hidden(x + y)).mean(1))

    def _explicit(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        if self.form in ("unbind", "index"):
            parts = self.qkv(x).reshape(batch, tokens, 3, 2, 4).permute(2, 0, 3, 1, 4)
            q, k, v = parts.unbind(0) if self.form == "unbind" else (parts[0], parts[1], parts[2])
        else:
            cut = self.qkv(x).chunk(3, -1) if self.form == "chunk" else self.qkv(x).split(8, -1)
            q, k, v = (part.reshape(batch, tokens, 2, 4).transpose(1, 2) for part in cut)
        if self.form == "split":
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q @ k.transpose(-2, -1) * 0.5).softmax(-1) @ v
        return y.transpose(1, 2).reshape(batch, tokens, width)


def attentive() -> nn.Module:
    """Neurons straight in front of a softmax over tokens (4, 6)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Softmax(1), nn.Flatten(), nn.Linear(20, 3))
