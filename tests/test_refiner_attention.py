"""The image encoders' fused attention against the package's own."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.deterministic import deterministic_state
from tests.tolerances import TOLERANCES
from tracker.refiner.attention import use_fused_attention
from tracker.refiner.build import empty_network

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from segment_anything_hq.modeling import ImageEncoderViT
    from segment_anything_hq.modeling.image_encoder import Attention
    from segment_anything_hq.modeling.tiny_vit_sam import Attention as TinyAttention

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def filled(module: nn.Module, scale: float = 1.0) -> nn.Module:
    """The module with weights by the rule of the tests; position terms times `scale`."""
    state = deterministic_state(module.state_dict())
    for name in state:
        if "rel_pos" in name or "attention_biases" in name:
            state[name] *= scale
    module.load_state_dict(state)
    module.requires_grad_(False).eval()
    return module


def both(module: nn.Module, given: torch.Tensor) -> tuple[object, object]:
    """What the package answers, and what the fused one does."""
    fused = copy.deepcopy(module)
    assert use_fused_attention(fused) > 0
    assert use_fused_attention(fused) == 0, "a second call finds nothing to do"
    assert list(fused.state_dict()) == list(module.state_dict())
    return module(given), fused(given)


def relative_attention(table: tuple[int, int] = (14, 14)) -> nn.Module:
    return filled(Attention(80 * 2, num_heads=2, use_rel_pos=True, input_size=table), scale=8)


@pytest.mark.parametrize("size", [(14, 14), (5, 14), (3, 2)])
def test_a_window_equals_the_packages(size):
    """Also with a table of another size than the image, which is interpolated."""
    draw = torch.Generator().manual_seed(0)
    given = torch.randn(3, *size, 160, generator=draw)
    module = relative_attention()
    own, fused = both(module, given)
    assert (own - fused).abs().max() <= TOLERANCES["fused_attention"]
    module.rel_pos_h.data.zero_()
    assert (module(given) - own).abs().max() > 0.01, "positions must matter here"


def test_an_attention_without_positions_equals_the_packages():
    given = torch.randn(2, 6, 5, 64, generator=torch.Generator().manual_seed(1))
    own, fused = both(filled(Attention(64, num_heads=4)), given)
    assert (own - fused).abs().max() <= TOLERANCES["fused_attention"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_is_as_close_to_float64_as_the_packages(dtype):
    """The position terms, rounded to bfloat16 as channels, lose nothing against the package."""
    given = torch.randn(2, 14, 14, 160, generator=torch.Generator().manual_seed(2))
    module = relative_attention()
    exact = copy.deepcopy(module).double()(given.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        own, fused = both(module, given)
    assert fused.dtype == own.dtype == dtype
    assert (fused - exact).norm() <= 1.1 * (own - exact).norm()


def test_a_whole_vit_equals_the_packages():
    """Windows, padded ones among them, and the whole image, at a size that takes no time."""
    encoder = ImageEncoderViT(
        img_size=160, embed_dim=48, depth=4, num_heads=3, out_chans=16,
        use_rel_pos=True, window_size=4, global_attn_indexes=(1, 3),
    )  # fmt: skip
    image = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(3))
    (own, own_inner), (fused, fused_inner) = both(filled(encoder), image)
    for ours, theirs in [(fused, own), *zip(fused_inner, own_inner, strict=True)]:
        assert (ours - theirs).abs().max() <= TOLERANCES["fused_attention"]


@pytest.mark.parametrize("places", [7, 14])
def test_a_tiny_window_equals_the_packages(places):
    module = filled(TinyAttention(64, 32, 2, attn_ratio=1, resolution=(places, places)), scale=4)
    given = torch.randn(3, places * places, 64, generator=torch.Generator().manual_seed(4))
    own, fused = both(module, given)
    assert (own - fused).abs().max() <= TOLERANCES["fused_attention"]
    module.ab.zero_()
    assert (module(given) - own).abs().max() > 0.01, "biases must matter here"


@pytest.mark.parametrize(("model", "count"), [("vit_h", 32), ("vit_b", 12), ("vit_tiny", 10)])
def test_every_attention_of_the_published_models_is_replaced(model, count):
    network = empty_network(model)
    keys = list(network.state_dict())
    assert use_fused_attention(network.image_encoder) == count
    assert list(network.state_dict()) == keys, "strict loading goes on as before"


def test_scores_of_all_by_all_places_are_never_made(monkeypatch):
    """The flash kernel takes the tensors: otherwise PyTorch raises here, or makes the scores."""
    given = []
    attend = F.scaled_dot_product_attention

    def watched(*tensors, **settings):
        given.append([tensor.shape[-1] for tensor in tensors])
        return attend(*tensors, **settings)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    relative = relative_attention()
    tiny = filled(TinyAttention(64, 32, 2, attn_ratio=1, resolution=(7, 7)))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        for module, image in ((relative, (1, 14, 14, 160)), (tiny, (1, 49, 64))):
            use_fused_attention(module)
            module(torch.ones(image))
    # 80 channels, 14 rows and 14 columns make 108; the next multiple of 8
    assert given == [[112, 112, 112], [32, 32, 32]]


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("size", [(14, 14), (64, 64)])
def test_on_a_gpu_in_bfloat16_it_is_as_close_to_float64_as_the_packages(size):
    given = torch.randn(2, *size, 160, generator=torch.Generator().manual_seed(5)).cuda()
    module = relative_attention(size).cuda()
    exact = copy.deepcopy(module).double()(given.double())
    with torch.autocast("cuda", torch.bfloat16):
        own, fused = both(module, given)
    assert (fused - exact).norm() <= 1.1 * (own - exact).norm()
