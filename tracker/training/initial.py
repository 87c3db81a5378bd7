"""Start values of the parts that no checkpoint fills.

Attention is useful from the first step: keys are nearly orthogonal projections of normalised
features, so a place attends to places that look alike, and the depthwise convolutions behind it
begin as the identity. Identity patches start orthogonal (AOT).
"""

from __future__ import annotations

import torch
from torch import nn

from tracker.vmos.detail import DetailDecoder, DetailMatching
from tracker.vmos.efficientnet import EfficientNetLite0
from tracker.vmos.gated import GatedOutput, PropagationLayer
from tracker.vmos.model import VmosModel

DETAIL_WEIGHT = 0.3
"""What the detail matching counts at first, beside 1 for either attention at 1/16."""


@torch.no_grad()
def initialise(model: VmosModel) -> None:
    """Fill all but the encoder, from torch's current random state."""
    for name, module in model.named_modules():
        if name.startswith("encoder."):
            continue
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d) and module.groups == 1:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)
    nn.init.orthogonal_(model.encoder_projector.weight.flatten(1))
    nn.init.zeros_(model.decoder.logits.bias)
    model.decoder.logits.weight.mul_(0.1)
    if model.detail_readout is not None:
        model.detail_readout.weight.fill_(DETAIL_WEIGHT)
    for bank in model.identity_embeddings:
        nn.init.orthogonal_(bank.patches.weight.flatten(1), gain=bank.patches.kernel_size[0] ** -2)
    for module in model.modules():
        if isinstance(module, GatedOutput):
            module.depthwise.weight.mul_(0.1)
            module.depthwise.weight[:, :, 2, 2] += 1
        elif isinstance(module, DetailMatching):
            nn.init.orthogonal_(module.key.weight)
            nn.init.zeros_(module.relative_bias.weight)
        elif isinstance(module, DetailDecoder):
            nn.init.zeros_(module.correction.weight)
        elif isinstance(module, PropagationLayer):
            key_channels = module.relative_bias.in_features
            nn.init.orthogonal_(module.key_value.weight[:key_channels])
            nn.init.zeros_(module.relative_bias.weight)


@torch.no_grad()
def initialise_encoder(encoder: nn.Module) -> None:
    """Fill the encoder at random, so that features neither vanish nor grow from block to block.

    InternImage has norms that see to it: it keeps what its modules start with.
    """
    if not isinstance(encoder, EfficientNetLite0):
        return
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Conv2d):
            linear = name.endswith("project")
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear" if linear else "relu")
            nn.init.zeros_(module.bias)
