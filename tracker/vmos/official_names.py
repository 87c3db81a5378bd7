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

RULES: tuple[Rule, ...] = (*ENCODER_RULES,)


def official_to_ours(name: str, rules: tuple[Rule, ...] = RULES) -> str | None:
    """Our name of the official entry `name`; None where it is declared as dropped.

    Raises KeyError for a name that no rule knows.
    """
    for official, ours in rules:
        match = _expression(official).fullmatch(name)
        if match:
            values = iter(match.groups())
            return None if ours is None else re.sub(r"[#*]", lambda _, v=values: next(v), ours)
    raise KeyError(
        f"no rule for the checkpoint entry {name!r}: not a VMOS checkpoint, or a newer one"
    )


def encoder_name(official: str) -> str:
    """The name inside the encoder module of an official entry `encoder.*`.

    Raises KeyError for an entry that is dropped or not of the encoder.
    """
    ours = official_to_ours(official, ENCODER_RULES)
    if ours is None:
        raise KeyError(f"the checkpoint entry {official!r} is dropped: it never reaches the output")
    return ours.removeprefix("encoder.")


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\#", r"(\d+)").replace(r"\*", r"(.+)"))
