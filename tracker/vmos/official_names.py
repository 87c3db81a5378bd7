"""The names of the public VMOS checkpoint, and ours: one table of rules.

A rule is a pair (official pattern, our pattern). `#` stands for a number and `*` for the rest of
the name; each is carried over, in order. Our pattern is None for an entry that is dropped because
it never reaches the output. The first rule that fits counts.
"""

from __future__ import annotations

import re
from functools import cache

Rule = tuple[str, str | None]

_BLOCK = "encoder.levels.#.blocks.#"
_OUR_BLOCK = "encoder.stages.#.blocks.#"

ENCODER_RULES: tuple[Rule, ...] = (
    # Stage 4 works on stage 3's map itself; the halved one was computed and thrown away.
    ("encoder.levels.2.downsample.*", None),
    ("encoder.patch_embed.conv1.*", "encoder.stem.first.conv.*"),
    ("encoder.patch_embed.norm1.1.*", "encoder.stem.first.norm.*"),
    ("encoder.patch_embed.conv2.*", "encoder.stem.second.conv.*"),
    ("encoder.patch_embed.norm2.1.*", "encoder.stem.second.norm.*"),
    ("encoder.levels.#.downsample.conv.*", "encoder.reductions.#.conv.*"),
    ("encoder.levels.#.downsample.norm.1.*", "encoder.reductions.#.norm.*"),
    ("encoder.levels.#.norm.0.*", "encoder.stages.#.norm.*"),
    (f"{_BLOCK}.gamma1", f"{_OUR_BLOCK}.deform_scale"),
    (f"{_BLOCK}.gamma2", f"{_OUR_BLOCK}.mlp_scale"),
    (f"{_BLOCK}.norm1.0.*", f"{_OUR_BLOCK}.deform_norm.*"),
    (f"{_BLOCK}.norm2.0.*", f"{_OUR_BLOCK}.mlp_norm.*"),
    (f"{_BLOCK}.dcn.dw_conv.0.*", f"{_OUR_BLOCK}.deform.depthwise.*"),
    (f"{_BLOCK}.dcn.dw_conv.1.1.*", f"{_OUR_BLOCK}.deform.depthwise_norm.*"),
    (f"{_BLOCK}.dcn.offset.*", f"{_OUR_BLOCK}.deform.offset.*"),
    (f"{_BLOCK}.dcn.mask.*", f"{_OUR_BLOCK}.deform.mask.*"),
    (f"{_BLOCK}.dcn.input_proj.*", f"{_OUR_BLOCK}.deform.input_projection.*"),
    (f"{_BLOCK}.dcn.output_proj.*", f"{_OUR_BLOCK}.deform.output_projection.*"),
    (f"{_BLOCK}.mlp.fc1.*", f"{_OUR_BLOCK}.mlp.expand.*"),
    (f"{_BLOCK}.mlp.fc2.*", f"{_OUR_BLOCK}.mlp.contract.*"),
)

UNREACHED_RULES: tuple[Rule, ...] = (
    # Built but never called in the public code.
    ("decoder.*", None),
    ("LSTT.decoder_norms.*", None),
)


def _layer_rules(official: str, ours: str) -> tuple[Rule, ...]:
    """One propagation layer."""
    own = f"{ours}.self_propagation"
    return (
        (f"{official}.norm1.*", f"{ours}.visual_norm.*"),
        (f"{official}.linear_QV.*", f"{ours}.key_value.*"),
        (f"{official}.linear_U.*", f"{ours}.visual_gate.*"),
        (f"{official}.id_norm1.*", f"{ours}.identity_norm.*"),
        (f"{official}.linear_ID_U.*", f"{ours}.identity_gate.*"),
        (f"{official}.linear_ID_V.*", f"{ours}.identity_value.*"),
        (f"{official}.long_term_attn.dw_conv.conv.*", f"{ours}.long_term.depthwise.*"),
        (f"{official}.long_term_attn.projection.*", f"{ours}.long_term.project.*"),
        (f"{official}.short_term_attn.relative_emb_k.*", f"{ours}.relative_bias.*"),
        (f"{official}.short_term_attn.dw_conv.conv.*", f"{ours}.short_term.depthwise.*"),
        (f"{official}.short_term_attn.projection.*", f"{ours}.short_term.project.*"),
        (f"{official}.norm2.*", f"{ours}.self_visual_norm.*"),
        (f"{official}.id_norm2.*", f"{ours}.self_identity_norm.*"),
        (f"{official}.self_attn.linear_QK.*", f"{own}.key.*"),
        (f"{official}.self_attn.linear_V1.*", f"{own}.visual_value.*"),
        (f"{official}.self_attn.linear_V2.*", f"{own}.identity_value.*"),
        (f"{official}.self_attn.linear_U1.*", f"{own}.visual_gate.*"),
        (f"{official}.self_attn.linear_U2.*", f"{own}.identity_gate.*"),
        (f"{official}.self_attn.dw_conv.conv.*", f"{own}.output.depthwise.*"),
        (f"{official}.self_attn.projection.*", f"{own}.output.project.*"),
    )


def _fusion_rules(official: str, ours: str) -> tuple[Rule, ...]:
    """One step to a finer scale: both branches, and the encoder's features."""
    rules: list[Rule] = [(f"{official}_proj.*", f"{ours}.encoder_in.*")]
    for suffix, branch in (("", "visual"), ("_id", "identity")):
        rules.append((f"{official}_cons_in{suffix}.conv.*", f"{ours}.{branch}_in.conv.*"))
        rules.append((f"{official}_cons_in{suffix}.gn.*", f"{ours}.{branch}_in.norm.*"))
        for block in (1, 2):
            for part, name in ((1, "first"), (2, "second")):
                theirs = f"{official}_cons_out{suffix}.res{block}"
                own = f"{ours}.{branch}_out.{block - 1}.{name}"
                rules.append((f"{theirs}.conv{part}.*", f"{own}.conv.*"))
                rules.append((f"{theirs}.gn{part}.*", f"{own}.norm.*"))
    return tuple(rules)


PROPAGATION_RULES: tuple[Rule, ...] = (
    ("encoder_projector.*", "encoder_projector.*"),
    *_layer_rules("LSTT.layer_s8", "propagation.layers.3"),
    *_layer_rules("LSTT.layers.#", "propagation.layers.#"),
    *_fusion_rules("LSTT.s8", "propagation.fusions.0"),
    *_fusion_rules("LSTT.s4", "propagation.fusions.1"),
)

IDENTITY_AND_DECODER_RULES: tuple[Rule, ...] = (
    ("patch_wise_id_bank.*", "identity_embeddings.0.patches.*"),
    ("patch_wise_id_bank_s8.*", "identity_embeddings.1.patches.*"),
    ("id_norm.*", "identity_embeddings.0.norm.*"),
    ("id_norm_s8.*", "identity_embeddings.1.norm.*"),
    ("LSTT.decoder_norms_s4.0.gn.*", "decoder.norm.*"),
    ("conv_output1.conv.*", "decoder.hidden.conv.*"),
    ("conv_output1.gn.*", "decoder.hidden.norm.*"),
    ("conv_output2.*", "decoder.logits.*"),
)

RULES: tuple[Rule, ...] = (
    *ENCODER_RULES,
    *UNREACHED_RULES,
    *PROPAGATION_RULES,
    *IDENTITY_AND_DECODER_RULES,
)


def official_to_ours(name: str, rules: tuple[Rule, ...] = RULES) -> str | None:
    """Our name of the official entry `name`; None where it is declared as dropped.

    Raises KeyError for a name that no rule knows.
    """
    for official, ours in rules:
        match = _expression(official).fullmatch(name)
        if match:
            return None if ours is None else _with_values(ours, match)
    raise KeyError(
        f"no rule for the checkpoint entry {name!r}: not a VMOS checkpoint, or a newer one"
    )


def ours_to_official(name: str) -> str:
    """The official name of our entry `name`. Raises KeyError for a name that no rule gives."""
    for official, ours in RULES:
        match = ours and _expression(ours).fullmatch(name)
        if match:
            return _with_values(official, match)
    raise KeyError(f"no rule gives the entry {name!r}")


def encoder_name(official: str) -> str:
    """The name inside the encoder module of an official entry `encoder.*`.

    Raises KeyError for an entry that is dropped or not of the encoder.
    """
    ours = official_to_ours(official, ENCODER_RULES)
    if ours is None:
        raise KeyError(f"the checkpoint entry {official!r} is dropped: it never reaches the output")
    return ours.removeprefix("encoder.")


def _with_values(pattern: str, match: re.Match[str]) -> str:
    values = iter(match.groups())
    return re.sub(r"[#*]", lambda _: next(values), pattern)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\#", r"(\d+)").replace(r"\*", r"(.+)"))
