"""MaskRefiner: masks for the boxes of one frame, from an HQ-SAM of the segment-anything-hq package.

Source: "Segment Anything in High Quality" (arXiv 2306.01567), prompted as HQTrack prompts it: one
box per object, the best of the three SAM masks by predicted IoU plus the high-quality mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tracker.device import SideStream, download, upload
from tracker.prompts import BoxPrompt, PointPrompt, Prompt

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
class ImageCode:
    """An encoded frame; sizes are (height, width).

    embedding: [1, 256, 64, 64] float32 of the padded square; early_features: the first of the
    encoder's inner maps, [1, 64, 64, C] float32. Both may still be in the making on a GPU.
    """

    embedding: Tensor
    early_features: list[Tensor]
    scaled_size: tuple[int, int]
    frame_size: tuple[int, int]


@dataclass(frozen=True)
class _Marks:
    """Prompts of one decoder call: boxes [k, 4] of k masks, or points [P, 2] of one mask.

    on_object [P] bool tells the points on the object from those that are not.
    """

    boxes: np.ndarray | None = None
    points: np.ndarray | None = None
    on_object: np.ndarray | None = None


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
        self._side = SideStream(self.device)

    @property
    def encodes_ahead(self) -> bool:
        """Whether `encode` returns at once, and its work runs beside what is called next."""
        return self.device.type == "cuda"

    @torch.inference_mode()
    def refine(
        self, image: np.ndarray | ImageCode, boxes: np.ndarray, with_logits: bool = False
    ) -> Refinement:
        """Masks for boxes [K, 4] (XYXY, inclusive pixels of the frame), K >= 0.

        image: [H, W, 3] uint8 RGB, or what `encode` made of it. A frame is encoded once, or not at
        all when K is 0.
        Raises ValueError for boxes of another shape.
        """
        boxes = np.asarray(boxes, dtype=np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes have the shape [K, 4] (XYXY), not {boxes.shape}")
        chunks = [
            _Marks(boxes=boxes[start : start + self._boxes_per_call])
            for start in range(0, len(boxes), self._boxes_per_call)
        ]
        return self._segment(image, chunks, len(boxes), with_logits)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, prompts: Sequence[Prompt]) -> Refinement:
        """Masks for what a user marked, one per prompt; a polygon counts as the box around it.

        image: [H, W, 3] uint8 RGB, encoded once.
        """
        return self._segment(image, [_marks(prompt) for prompt in prompts], len(prompts), False)

    def _segment(
        self,
        image: np.ndarray | ImageCode,
        chunks: Sequence[_Marks],
        count: int,
        with_logits: bool,
    ) -> Refinement:
        """`count` masks; every chunk is one decoder call and gives one mask or several.

        The device is waited for once per chunk.
        """
        size = image.frame_size if isinstance(image, ImageCode) else image.shape[:2]
        masks = np.zeros((count, *size), dtype=bool)
        logits = np.zeros(masks.shape, dtype=np.float32) if with_logits else None
        scores = np.zeros(count, dtype=np.float32)
        if count == 0:
            return Refinement(masks, scores, logits)
        code = image if isinstance(image, ImageCode) else self.encode(image)
        self._side.join([code.embedding, *code.early_features])
        start = 0
        for chunk in chunks:
            small, predicted = self._decode(code, chunk)
            part = slice(start, start + len(small))
            found = []
            for index, one in enumerate(small, start=start):
                full = self._to_frame(one, code)
                found.append(full > self._model.mask_threshold)
                if logits is not None:
                    (logits[index],) = download(full)
            masks[part], scores[part] = download(torch.stack(found), predicted[:, 0])
            start += len(small)
        return Refinement(masks, scores, logits)

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> ImageCode:
        """The code of a frame [H, W, 3] uint8 RGB, for `refine`."""
        frame_size = image.shape[:2]
        height, width = scaled_size(*frame_size, self._model.image_encoder.img_size)
        scaled = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        half = self._encoder_dtype != torch.float32
        autocast = torch.autocast(self.device.type, self._encoder_dtype, enabled=half)
        with self._side.beside(), autocast:
            pixels = upload(torch.from_numpy(np.array(scaled)), self.device)
            pixels = self._model.preprocess(pixels.permute(2, 0, 1)[None])
            embedding, early = self._model.image_encoder(pixels)
            return ImageCode(embedding.float(), [early[0].float()], (height, width), frame_size)

    def _decode(self, code: ImageCode, marks: _Marks) -> tuple[Tensor, Tensor]:
        """Marks of k masks -> logits [k, 1, 256, 256] of the padded square, scores [k, 1]."""
        scale = np.array(code.scaled_size[::-1]) / np.array(code.frame_size[::-1])

        def scaled(places: np.ndarray) -> Tensor:
            return upload(torch.from_numpy((places * scale).astype(np.float32)), self.device)

        boxes = points = None
        if marks.boxes is not None:
            boxes = scaled(marks.boxes.reshape(-1, 2, 2)).flatten(1)
        if marks.points is not None:
            kinds = upload(torch.from_numpy(marks.on_object.astype(np.int32)), self.device)
            points = scaled(marks.points)[None], kinds[None]
        prompts, no_mask = self._model.prompt_encoder(points=points, boxes=boxes, masks=None)
        return self._model.mask_decoder(
            image_embeddings=code.embedding,
            image_pe=self._model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=no_mask,
            multimask_output=self._best_of_three,
            hq_token_only=False,
            interm_embeddings=code.early_features,
        )

    def _to_frame(self, logits: Tensor, code: ImageCode) -> Tensor:
        """One object's logits [1, 256, 256] at the size of the frame, [H, W]."""
        return self._model.postprocess_masks(logits[None], code.scaled_size, code.frame_size)[0, 0]


def scaled_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """The size of a frame after its long side became `long_side`; at least one pixel each way."""
    scale = long_side / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def _marks(prompt: Prompt) -> _Marks:
    if isinstance(prompt, PointPrompt):
        places = np.array([*prompt.points, *prompt.background], dtype=np.float64)
        return _Marks(points=places, on_object=np.arange(len(places)) < len(prompt.points))
    box = prompt if isinstance(prompt, BoxPrompt) else prompt.box
    return _Marks(boxes=np.array([box.corners]))
