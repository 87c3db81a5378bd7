"""The attention of HQ-SAM's image encoders through PyTorch's fused attention.

The package computes all scores, adds the position terms to them, and takes the softmax, each a
pass over a matrix of all places by all places. Here nothing of that size is made: the ViT's
position terms, decomposed into rows and columns, become further channels of queries and keys, and
the tiny ViT's biases, one per pair of places of a window, go to the fused function as they are.

Weights stay where they are: only the modules' `forward` is replaced.
"""

from __future__ import annotations

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LANES = 8
"""Flash kernels take channels in multiples of this, as many of values as of queries and keys.

Further ones, zero, change nothing.
"""


def use_fused_attention(encoder: nn.Module) -> int:
    """Replace the attention of an image encoder of segment_anything_hq; how many modules it was.

    The results are those of the package up to rounding. A further call finds nothing to do.
    """
    from segment_anything_hq.modeling import image_encoder, tiny_vit_sam

    forwards = {image_encoder.Attention: _relative, tiny_vit_sam.Attention: _biased}
    count = 0
    for module in encoder.modules():
        forward = forwards.get(type(module))
        if forward is not None and "forward" not in vars(module):
            module.forward = MethodType(forward, module)
            count += 1
    return count


def _relative(module: nn.Module, image: Tensor) -> Tensor:
    """Multi-head attention [B, H, W, C] -> [B, H, W, C] with decomposed relative positions."""
    batch, height, width, _ = image.shape
    qkv = module.qkv(image).view(batch, height * width, 3, module.num_heads, -1)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    channels = query.shape[-1]
    parts = [query * module.scale]
    places = []
    if module.use_rel_pos:
        maps = query.unflatten(2, (height, width))
        rows = _relative_table(module.rel_pos_h, height).to(query.dtype)
        columns = _relative_table(module.rel_pos_w, width).to(query.dtype)
        parts += [
            torch.einsum("bnhwc,hkc->bnhwk", maps, rows).flatten(2, 3),
            torch.einsum("bnhwc,wkc->bnhwk", maps, columns).flatten(2, 3),
        ]
        places = [_place_of_keys(height, width, query).expand(*key.shape[:2], -1, -1)]
    query, key = torch.cat(parts, dim=-1), torch.cat([key, *places], dim=-1)
    lanes = query.shape[-1] + -query.shape[-1] % LANES
    attended = F.scaled_dot_product_attention(
        _widened(query, lanes), _widened(key, lanes), _widened(value, lanes), scale=1.0
    )
    attended = attended[..., :channels].transpose(1, 2).reshape(batch, height, width, -1)
    return module.proj(attended)


def _biased(module: nn.Module, tokens: Tensor) -> Tensor:
    """Multi-head attention [B, N, C] -> [B, N, C] with a bias per pair of places and head."""
    batch, count, _ = tokens.shape
    qkv = module.qkv(module.norm(tokens)).view(batch, count, module.num_heads, -1).transpose(1, 2)
    query, key, value = qkv.split([module.key_dim, module.key_dim, module.d], dim=-1)
    attended = F.scaled_dot_product_attention(
        query, key, value, attn_mask=module.ab[None].to(query.dtype), scale=module.scale
    )
    return module.proj(attended.transpose(1, 2).reshape(batch, count, module.dh))


def _relative_table(embeddings: Tensor, size: int) -> Tensor:
    """Embeddings [2 L - 1, C] of the distances 1 - L .. L - 1 -> [query, key, C] along one axis.

    As the package, they are interpolated where `size` is not L.
    """
    distances = 2 * size - 1
    if len(embeddings) != distances:
        embeddings = F.interpolate(embeddings.t()[None], distances, mode="linear")[0].t()
    places = torch.arange(size, device=embeddings.device)
    return embeddings[places[:, None] - places[None, :] + size - 1]


def _place_of_keys(height: int, width: int, like: Tensor) -> Tensor:
    """[H * W, H + W]: 1 at the row and at the column of every key."""
    row = torch.eye(height, dtype=like.dtype, device=like.device).repeat_interleave(width, 0)
    column = torch.eye(width, dtype=like.dtype, device=like.device).repeat(height, 1)
    return torch.cat([row, column], dim=1)


def _widened(tokens: Tensor, lanes: int) -> Tensor:
    return F.pad(tokens, (0, lanes - tokens.shape[-1]))
