"""The refiner against the package's own predictor, and the faults of the public code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.deterministic import deterministic_state
from tracker.checkpoints import CheckpointError, fill
from tracker.config import ConfigError
from tracker.prompts import BoxPrompt, PointPrompt, PolygonPrompt
from tracker.refiner import CHECKPOINTS, MaskRefiner, build_refiner, checkpoint_path
from tracker.refiner.attention import use_fused_attention
from tracker.refiner.build import empty_network

LOGIT_TOLERANCE = 1e-3
BOXES = np.array(
    [
        [10, 10, 60, 70],
        [100, 30, 159, 119],  # touches the right and lower border
        [0, 0, 159, 119],  # the whole frame
        [5, 5, 5, 5],  # one pixel
        [159, 0, 159, 0],  # one pixel in a corner
    ]
)
PUBLISHED_BYTES = {
    "vit_h": 2570940653,
    "vit_l": 1254865805,
    "vit_b": 379335069,
    "vit_tiny": 42526881,
}


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3))
    fine = np.kron(coarse, np.ones((-(-height // 8), -(-width // 8), 1)))
    return fine[:height, :width].astype(np.uint8)


class Counted(nn.Module):
    """Counts the calls of a module; the same input twice in a row is computed once."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.calls = 0
        self._last: tuple[Tensor, object] | None = None

    @property
    def img_size(self) -> int:
        return self.module.img_size

    def forward(self, pixels: Tensor) -> object:
        self.calls += 1
        if self._last is None or not torch.equal(self._last[0], pixels):
            self._last = pixels.clone(), self.module(pixels)
        return self._last[1]


class RecordedDecoder(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.boxes: list[int] = []

    def forward(self, **inputs: object) -> object:
        self.boxes.append(len(inputs["sparse_prompt_embeddings"]))
        return self.module(**inputs)


class CheapEncoder(nn.Module):
    """In place of the image encoder: features that depend on the picture, in no time."""

    img_size = 1024

    def forward(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        small = nn.functional.adaptive_avg_pool2d(pixels, 64)
        early = small.repeat(1, 54, 1, 1)[:, :160].permute(0, 2, 3, 1)
        return small.repeat(1, 86, 1, 1)[:, :256], [early]


def network_with(model: str) -> nn.Module:
    network = empty_network(model)
    fill(network, deterministic_state(network.state_dict()), "deterministic weights")
    return network


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    return network_with("vit_tiny")


@pytest.fixture
def cheap(tiny: nn.Module, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """ViT-tiny whose image encoder costs nothing; calls of encoder and decoder are counted."""
    monkeypatch.setitem(tiny._modules, "image_encoder", Counted(CheapEncoder()))
    monkeypatch.setitem(tiny._modules, "mask_decoder", RecordedDecoder(tiny.mask_decoder))
    return tiny


def compare_with_predictor(network: nn.Module, best_of_three: bool = True) -> None:
    from segment_anything_hq import SamPredictor

    image = texture(120, 160)
    found = MaskRefiner(network, best_of_three=best_of_three).refine(image, BOXES, True)
    predictor = SamPredictor(network)
    predictor.set_image(image)
    shares = found.masks.mean(axis=(1, 2))
    assert ((shares > 0.01) & (shares < 0.99)).all(), "the comparison needs masks with an edge"
    for index, box in enumerate(BOXES):
        logits, scores, _ = predictor.predict(
            box=box, multimask_output=best_of_three, return_logits=True
        )
        np.testing.assert_allclose(found.logits[index], logits[0], atol=LOGIT_TOLERANCE, rtol=0)
        np.testing.assert_array_equal(found.masks[index], logits[0] > 0)
        np.testing.assert_allclose(found.scores[index], scores[0], atol=LOGIT_TOLERANCE, rtol=0)


def test_vit_tiny_equals_the_packages_predictor_called_per_object(
    tiny: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny._modules, "image_encoder", Counted(tiny.image_encoder))
    compare_with_predictor(tiny)
    assert tiny.image_encoder.calls == 2


@pytest.mark.slow
def test_vit_b_equals_the_packages_predictor_called_per_object() -> None:
    network = network_with("vit_b")
    network.image_encoder = Counted(network.image_encoder)
    compare_with_predictor(network)


def test_the_single_mask_output_equals_the_packages_predictor(cheap: nn.Module) -> None:
    compare_with_predictor(cheap, best_of_three=False)


def test_fault_the_image_is_encoded_once_per_frame_and_boxes_are_decoded_together(
    cheap: nn.Module,
) -> None:
    refiner = MaskRefiner(cheap)
    refiner.refine(texture(120, 160), BOXES)
    assert cheap.image_encoder.calls == 1
    assert cheap.mask_decoder.boxes == [len(BOXES)]


def test_many_boxes_are_decoded_in_parts_with_one_encoding(cheap: nn.Module) -> None:
    image = texture(120, 160)
    whole = MaskRefiner(cheap).refine(image, BOXES, with_logits=True)
    cheap.image_encoder.calls, cheap.mask_decoder.boxes = 0, []
    parts = MaskRefiner(cheap, boxes_per_call=2).refine(image, BOXES, with_logits=True)
    assert cheap.image_encoder.calls == 1 and cheap.mask_decoder.boxes == [2, 2, 1]
    np.testing.assert_allclose(parts.logits, whole.logits, atol=LOGIT_TOLERANCE)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=LOGIT_TOLERANCE)


def test_a_frame_encoded_ahead_gives_the_same_masks(cheap: nn.Module) -> None:
    refiner, image = MaskRefiner(cheap), texture(120, 160)
    whole = refiner.refine(image, BOXES, with_logits=True)
    code = refiner.encode(image)
    refiner.encode(texture(60, 90, 1))
    ahead = refiner.refine(code, BOXES, with_logits=True)
    np.testing.assert_array_equal(ahead.masks, whole.masks)
    np.testing.assert_array_equal(ahead.logits, whole.logits)
    assert cheap.image_encoder.calls == 3 and not refiner.encodes_ahead
    assert refiner.refine(code, np.zeros((0, 4))).masks.shape == (0, 120, 160)


def test_no_boxes_cost_no_encoding(cheap: nn.Module) -> None:
    found = MaskRefiner(cheap).refine(texture(12, 16), np.zeros((0, 4)), with_logits=True)
    assert found.masks.shape == found.logits.shape == (0, 12, 16) and found.scores.shape == (0,)
    assert cheap.image_encoder.calls == 0


def test_fault_frame_size_change(cheap: nn.Module) -> None:
    """Frames of other sizes through one refiner give what a refiner of their own gives."""
    refiner = MaskRefiner(cheap)
    for seed, shape in enumerate([(120, 160), (33, 1100), (120, 160)]):
        image, box = texture(*shape, seed), np.array([[2, 3, 30, 31]])
        found = refiner.refine(image, box, with_logits=True)
        alone = MaskRefiner(cheap).refine(image, box, with_logits=True)
        assert found.masks.shape == (1, *shape) and found.masks.dtype == bool
        np.testing.assert_array_equal(found.logits, alone.logits)


def test_prompts_equal_the_packages_predictor_with_one_encoding(cheap: nn.Module) -> None:
    from segment_anything_hq import SamPredictor

    image = texture(120, 160)
    prompts = [
        BoxPrompt(10, 20, 51, 61),
        PointPrompt(((30.5, 40), (80, 90)), background=((5, 100),)),
        PolygonPrompt(((100, 30), (150, 60), (120, 110))),
    ]
    found = MaskRefiner(cheap).segment(image, prompts)
    assert cheap.image_encoder.calls == 1
    predictor = SamPredictor(cheap)
    predictor.set_image(image)
    asked = [
        {"box": np.array([10, 20, 60, 80])},
        {
            "point_coords": np.array([[30.5, 40], [80, 90], [5, 100]]),
            "point_labels": np.array([1, 1, 0]),
        },
        {"box": np.array([100, 30, 149, 109])},
    ]
    for mask, score, inputs in zip(found.masks, found.scores, asked, strict=True):
        want, scores, _ = predictor.predict(**inputs, multimask_output=True)
        np.testing.assert_array_equal(mask, want[0])
        assert score == pytest.approx(scores[0], abs=LOGIT_TOLERANCE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1)])
def test_frames_of_one_pixel_or_one_line(cheap: nn.Module, shape: tuple[int, int]) -> None:
    found = MaskRefiner(cheap).refine(np.full((*shape, 3), 90, np.uint8), np.zeros((1, 4)))
    assert found.masks.shape == (1, *shape) and np.isfinite(found.scores).all()


def test_another_box_gives_another_answer(cheap: nn.Module) -> None:
    logits = MaskRefiner(cheap).refine(texture(120, 160), BOXES, with_logits=True).logits
    assert np.abs(logits[0] - logits[1]).max() > 0.1


def test_the_half_precision_encoder_stays_close(cheap: nn.Module) -> None:
    """Autocast must not reach the positions of the boxes: they are worthless in bfloat16."""
    image = texture(120, 160)
    full = MaskRefiner(cheap).refine(image, BOXES, with_logits=True)
    half = MaskRefiner(cheap, encoder_dtype=torch.bfloat16).refine(image, BOXES, with_logits=True)
    assert half.logits.dtype == np.float32
    np.testing.assert_allclose(half.logits, full.logits, atol=LOGIT_TOLERANCE)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_in_float32_and_bfloat16_agrees_with_the_cpu() -> None:
    image = texture(120, 160)
    want = MaskRefiner(network_with("vit_tiny")).refine(image, BOXES)
    for dtype, share in ((torch.float32, 0.999), (None, 0.97)):
        refiner = MaskRefiner(network_with("vit_tiny"), "cuda", dtype)
        assert (refiner.refine(image, BOXES).masks == want.masks).mean() > share


def test_boxes_of_another_shape_are_an_error(cheap: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"\[K, 4\].*\(4,\)"):
        MaskRefiner(cheap).refine(texture(12, 16), np.zeros(4))
    with pytest.raises(ValueError, match="boxes_per_call is 0"):
        MaskRefiner(cheap, boxes_per_call=0)


@pytest.mark.parametrize("model", CHECKPOINTS)
def test_the_entries_fill_the_published_files(model: str) -> None:
    """All entries in float32 and some 320 bytes of bookkeeping each: the published size."""
    state = empty_network(model).state_dict()
    held = sum(entry.numel() * entry.element_size() for entry in state.values())
    assert 300 < (PUBLISHED_BYTES[model] - held) / len(state) < 400


def test_building_is_silent_and_leaves_the_random_state_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = torch.get_rng_state()
    empty_network("vit_tiny")
    assert torch.equal(torch.get_rng_state(), before)
    assert capfd.readouterr().out == ""


@pytest.fixture(scope="module")
def weights(tiny: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.save(tiny.state_dict(), folder / CHECKPOINTS["vit_tiny"])
    return folder


def test_build_refiner_loads_the_file(
    weights: Path, tiny: nn.Module, capfd: pytest.CaptureFixture[str]
) -> None:
    network = build_refiner("vit_tiny", weights)._model
    assert use_fused_attention(network.image_encoder) == 0, "it is in use already"
    for key, entry in tiny.state_dict().items():
        assert torch.equal(network.state_dict()[key], entry), key
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert capfd.readouterr().out == ""


def test_fault_the_attention_biases_are_those_of_the_weights(tiny: nn.Module) -> None:
    """The package's builder copies them before it loads: they stay zero until eval() is called."""
    blocks = [m for m in tiny.modules() if hasattr(m, "attention_bias_idxs")]
    assert len(blocks) == 10
    for block in blocks:
        assert torch.equal(block.ab, block.attention_biases[:, block.attention_bias_idxs])
        assert block.ab.abs().max() > 0


def broken(tiny: nn.Module, **changes: Tensor | None) -> dict[str, Tensor]:
    state = dict(tiny.state_dict())
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del state[name]
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_decoder__hf_token__weight": None}, r"1 missing: mask_decoder\.hf_token\.weight"),
        ({"extra__weight": torch.zeros(1)}, r"1 unexpected: extra\.weight"),
        (
            {"mask_decoder__hf_token__weight": torch.zeros(2, 256)},
            r"1 of another shape: .*hf_token\.weight is \[2, 256\] instead of \[1, 256\]",
        ),
    ],
)
def test_weights_that_do_not_match_name_file_and_key(
    tiny: nn.Module, tmp_path: Path, changes: dict[str, Tensor | None], message: str
) -> None:
    torch.save(broken(tiny, **changes), tmp_path / CHECKPOINTS["vit_tiny"])
    with pytest.raises(CheckpointError, match=rf"sam_hq_vit_tiny\.pth.*{message}.*make weights"):
        build_refiner("vit_tiny", tmp_path)


def test_weights_of_another_size_are_an_error(weights: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINTS["vit_b"]).symlink_to(weights / CHECKPOINTS["vit_tiny"])
    with pytest.raises(CheckpointError, match=r"vit_b\.pth.*another model.*missing.*unexpected"):
        build_refiner("vit_b", tmp_path)


def test_damaged_and_foreign_files_are_errors(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINTS["vit_tiny"]
    with pytest.raises(CheckpointError, match=r"no weights at .*tiny\.pth.*make weights"):
        build_refiner("vit_tiny", tmp_path)
    whole = (weights / CHECKPOINTS["vit_tiny"]).read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"<html>not found</html>", whole[:-2000]):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"tiny\.pth is damaged.*make weights"):
            build_refiner("vit_tiny", tmp_path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="no table of named tensors"):
        build_refiner("vit_tiny", tmp_path)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": Path("x")}, tmp_path / CHECKPOINTS["vit_tiny"])
    with pytest.raises(CheckpointError, match="damaged or no checkpoint"):
        build_refiner("vit_tiny", tmp_path)


def test_an_unknown_refiner_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'vit_x'.*vit_h, vit_l, vit_b, vit_tiny"):
        checkpoint_path("vit_x", tmp_path)
