"""Text on pictures: legible on bright and on dark ground."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
BAR: Colour = (24, 26, 30)
"""Ground of captions."""
GOOD: Colour = (120, 220, 140)
BAD: Colour = (255, 120, 100)
PLAIN: Colour = (235, 235, 235)
DIM: Colour = (160, 164, 170)

BAR_HEIGHT = 30
_SIZE = 15
_PAD = 4
_GAP = 14


@dataclass(frozen=True)
class Word:
    """A piece of a caption: text, its colour, and the colour of a square before it, if any."""

    text: str
    colour: Colour = PLAIN
    square: Colour | None = None


@dataclass(frozen=True)
class Tag:
    """A label on a picture: its left top corner in pixels, its text, the colour of its ground."""

    left: int
    top: int
    text: str
    ground: Colour


@functools.cache
def font(size: int = _SIZE) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size)


def caption(width: int, words: Sequence[Word]) -> np.ndarray:
    """[BAR_HEIGHT, width, 3] uint8 RGB: a dark bar with the words; those that do not fit count."""
    bar = Image.new("RGB", (width, BAR_HEIGHT), BAR)
    pen = ImageDraw.Draw(bar)
    x, room = 10, width - 10
    for index, word in enumerate(words):
        left = len(words) - index - 1
        needed = _word_width(word) + (_text_width(f"+{left}") + _GAP if left else 0)
        if x + needed > room:
            _write(pen, x, Word(f"+{left + 1}", DIM))
            break
        x = _write(pen, x, word)
    return np.array(bar)


def _write(pen: ImageDraw.ImageDraw, x: int, word: Word) -> int:
    middle = BAR_HEIGHT // 2
    if word.square is not None:
        pen.rectangle((x, middle - 7, x + 13, middle + 6), fill=word.square, outline=WHITE)
        x += 19
    pen.text((x, middle), word.text, fill=word.colour, font=font(), anchor="lm")
    return x + _text_width(word.text) + _GAP


def _text_width(text: str) -> int:
    return round(font().getlength(text))


def _word_width(word: Word) -> int:
    return _text_width(word.text) + (19 if word.square is not None else 0)


def tag_size(text: str) -> tuple[int, int]:
    """(width, height) of a tag."""
    return _text_width(text) + 2 * _PAD + 2, _SIZE + 2 * _PAD


def draw_tags(image: np.ndarray, tags: Sequence[Tag]) -> np.ndarray:
    """The image with tags, in black or white text, whichever stands out."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for tag in tags:
        width, height = tag_size(tag.text)
        box = (tag.left, tag.top, tag.left + width - 1, tag.top + height - 1)
        pen.rectangle(box, fill=tag.ground, outline=WHITE)
        place = (tag.left + _PAD + 1, tag.top + height // 2)
        pen.text(place, tag.text, fill=_ink(tag.ground), font=font(), anchor="lm")
    return np.array(picture)


def _ink(ground: Colour) -> Colour:
    red, green, blue = ground
    return BLACK if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else WHITE
