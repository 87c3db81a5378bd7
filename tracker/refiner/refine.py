"""MaskRefiner: masks for the boxes of one frame, from an HQ-SAM of the segment-anything-hq package.

Source: "Segment Anything in High Quality" (arXiv 2306.01567), prompted as HQTrack prompts it: one
box per object, the best of the three SAM masks by predicted IoU plus the high-quality mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

BOXES_PER_CALL = 32
"""Boxes decoded at once; more are done in several calls, so that memory stays bounded."""


@dataclass(frozen=True)
class Refinement:
    """Refined masks of K boxes, at the size of the frame.

    masks: [K, H, W] bool; scores: [K] float32, the IoU that HQ-SAM predicts for its mask (a
    regression: it may leave 0..1); logits: [K, H, W] float32 when asked for, a mask is where they
    are above 0.
    """

    masks: np.ndarray
    scores: np.ndarray
    logits: np.ndarray | None = None


@dataclass(frozen=True)
class _ImageCode:
    embedding: Tensor
    early_features: list[Tensor]
    scaled_size: tuple[int, int]
    frame_size: tuple[int, int]


class MaskRefiner:
    """Refines the masks of a frame; keeps nothing between frames.

    model: a `Sam` of segment_anything_hq, in evaluation mode.
    encoder_dtype: torch.bfloat16 or torch.float16 runs the image encoder, by far the largest
    part, under autocast; the decoder always runs in float32. Default: bfloat16 on CUDA, else
    float32.
    best_of_three: take the best of the three SAM masks by predicted IoU, as HQTrack does; False
    takes SAM's single-mask output.
    """

    def __init__(
        self,
        model: Any,
        device: torch.device | str = "cpu",
        encoder_dtype: torch.dtype | None = None,
        boxes_per_call: int = BOXES_PER_CALL,
        best_of_three: bool = True,
    ) -> None:
        self.device = torch.device(device)
        if encoder_dtype is None:
            encoder_dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        if boxes_per_call < 1:
            raise ValueError(f"boxes_per_call is {boxes_per_call}; it must be at least 1")
        self._model = model.to(self.device)
        self._encoder_dtype = encoder_dtype
        self._boxes_per_call = boxes_per_call
        self._best_of_three = best_of_three

    @torch.inference_mode()
    def refine(self, image: np.ndarray, boxes: np.ndarray, with_logits: bool = False) -> Refinement:
        """Masks for boxes [K, 4] (XYXY, inclusive pixels of the frame), K >= 0.

        image: [H, W, 3] uint8 RGB. It is encoded once, or not at all when K is 0.
        Raises ValueError for boxes of another shape.
        """
        boxes = np.asarray(boxes, dtype=np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes have the shape [K, 4] (XYXY), not {boxes.shape}")
        masks = np.zeros((len(boxes), *image.shape[:2]), dtype=bool)
        logits = np.zeros(masks.shape, dtype=np.float32) if with_logits else None
        scores = np.zeros(len(boxes), dtype=np.float32)
        if len(boxes) == 0:
            return Refinement(masks, scores, logits)
        code = self._encode(image)
        for start in range(0, len(boxes), self._boxes_per_call):
            chunk = slice(start, start + self._boxes_per_call)
            small, predicted = self._decode(code, boxes[chunk])
            scores[chunk] = predicted[:, 0].cpu().numpy()
            for index, one in enumerate(small, start=start):
                full = self._to_frame(one, code)
                masks[index] = (full > self._model.mask_threshold).cpu().numpy()
                if logits is not None:
                    logits[index] = full.cpu().numpy()
        return Refinement(masks, scores, logits)

    def _encode(self, image: np.ndarray) -> _ImageCode:
        frame_size = image.shape[:2]
        height, width = scaled_size(*frame_size, self._model.image_encoder.img_size)
        scaled = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(scaled)).to(self.device).permute(2, 0, 1)[None]
        with torch.autocast(
            self.device.type, self._encoder_dtype, enabled=self._encoder_dtype != torch.float32
        ):
            embedding, early = self._model.image_encoder(self._model.preprocess(pixels))
        return _ImageCode(embedding.float(), [early[0].float()], (height, width), frame_size)

    def _decode(self, code: _ImageCode, boxes: np.ndarray) -> tuple[Tensor, Tensor]:
        """Boxes [k, 4] of the frame -> logits [k, 1, 256, 256] of the padded square, scores."""
        (height, width), (old_height, old_width) = code.scaled_size, code.frame_size
        scale_x, scale_y = width / old_width, height / old_height
        scaled = boxes * np.array([scale_x, scale_y, scale_x, scale_y])
        prompts, no_mask = self._model.prompt_encoder(
            points=None,
            boxes=torch.as_tensor(scaled, dtype=torch.float32, device=self.device),
            masks=None,
        )
        return self._model.mask_decoder(
            image_embeddings=code.embedding,
            image_pe=self._model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=no_mask,
            multimask_output=self._best_of_three,
            hq_token_only=False,
            interm_embeddings=code.early_features,
        )

    def _to_frame(self, logits: Tensor, code: _ImageCode) -> Tensor:
        """One object's logits [1, 256, 256] at the size of the frame, [H, W]."""
        return self._model.postprocess_masks(logits[None], code.scaled_size, code.frame_size)[0, 0]


def scaled_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """The size of a frame after its long side became `long_side`; at least one pixel each way."""
    scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
