"""The sheet `compare` writes: a panel for each picture, all drawn to the same scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from upsample_rs.cli.views import BOX_WIDTH, CROP_HEIGHT, Frame

if TYPE_CHECKING:
    from upsample_rs._types import Array

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MOST_COLUMNS = 5
MARGIN = 36
GAP = 28
BETWEEN = 10
HEADER = 112
LABEL = 58
PAPER, CARD, INK, FAINT, LINE = "#f4f4f2", "#ffffff", "#1c1c1a", "#6b6b66", "#d9d9d4"
MARK = "#e5195f"
CARD_PADDING = 14
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE, NOTE_SIZE = 30, 17, 20, 16


@dataclass(frozen=True)
class Panel:
    """One picture of the sheet."""

    title: str
    note: str
    """The second line of the label."""
    whole: Array
    """uint8 RGB, fits the upper box."""
    crop: Array
    """uint8 RGB, fits the lower box."""
    shrunk: int = 1
    """How many times smaller than the original the picture is."""

    @classmethod
    def of(cls, frame: Frame, picture: Array, title: str, note: str, shrunk: int = 1) -> Panel:
        """Make the panel of a picture of numbers from 0 to 1."""
        return cls(title, note, frame.whole(picture), frame.crop(picture, shrunk), shrunk)


def draw(title: str, subtitle: str, panels: list[Panel], frame: Frame) -> Array:
    """Draw the sheet.

    Parameters
    ----------
    title, subtitle : str
        The two lines at its head.
    panels : list of Panel
        From left to right, at most `MOST_COLUMNS` in a row.
    frame : Frame
        How the pictures are shown, and so how large a panel is.

    Returns
    -------
    array of uint8, (height, width, 3)
        RGB.
    """
    rows = -(-len(panels) // MOST_COLUMNS)
    columns = -(-len(panels) // rows)
    card_width = BOX_WIDTH + 2 * CARD_PADDING
    card_height = LABEL + frame.whole_height + BETWEEN + CROP_HEIGHT + 2 * CARD_PADDING
    width = 2 * MARGIN + columns * (card_width + GAP) - GAP
    height = HEADER + rows * (card_height + GAP) - GAP + MARGIN
    image = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(image)
    line(pen, (MARGIN, 28), title, TITLE_SIZE, INK, width - 2 * MARGIN)
    line(pen, (MARGIN, 68), subtitle, TEXT_SIZE, FAINT, width - 2 * MARGIN)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left = MARGIN + column * (card_width + GAP)
        top = HEADER + row * (card_height + GAP)
        corner = (left + card_width - 1, top + card_height - 1)
        pen.rounded_rectangle(((left, top), corner), radius=8, fill=CARD, outline=LINE)
        draw_panel(image, (left + CARD_PADDING, top + CARD_PADDING), panel, frame)
    return np.asarray(image)


def draw_panel(image: Image.Image, corner: tuple[int, int], panel: Panel, frame: Frame) -> None:
    """Draw the label, the whole with the window marked on it, and the window enlarged."""
    pen = ImageDraw.Draw(image)
    left, top = corner
    line(pen, (left, top), panel.title, LABEL_SIZE, INK, BOX_WIDTH)
    line(pen, (left, top + 27), panel.note, NOTE_SIZE, FAINT, BOX_WIDTH)
    top += LABEL
    x, y = paste(image, panel.whole, (left, top), frame.whole_height)
    ratio, window = frame.ratio, frame.window.shrunk(panel.shrunk)
    upper_left = (x + window.left * ratio, y + window.top * ratio)
    size = (max(window.width * ratio, 3), max(window.height * ratio, 3))
    mark(pen, upper_left, size)
    top += frame.whole_height + BETWEEN
    x, y = paste(image, panel.crop, (left, top), CROP_HEIGHT)
    mark(pen, (x, y), (panel.crop.shape[1], panel.crop.shape[0]))


def paste(
    image: Image.Image, picture: Array, corner: tuple[int, int], box_height: int
) -> tuple[int, int]:
    """Put a picture in the middle of its box; return where its upper left corner came to lie."""
    height, width, _ = picture.shape
    left, top = corner
    box = (left, top, left + BOX_WIDTH - 1, top + box_height - 1)
    ImageDraw.Draw(image).rectangle(box, fill=PAPER)
    place = (left + (BOX_WIDTH - width) // 2, top + (box_height - height) // 2)
    image.paste(Image.fromarray(np.ascontiguousarray(picture)), place)
    return place


def mark(pen: ImageDraw.ImageDraw, corner: tuple[float, float], size: tuple[float, float]) -> None:
    """Draw a frame around a part of a picture, just outside it."""
    (x, y), (width, height) = corner, size
    x, y, right, bottom = round(x), round(y), round(x + width), round(y + height)
    pen.rectangle((x - 3, y - 3, right + 2, bottom + 2), outline=CARD)
    pen.rectangle((x - 2, y - 2, right + 1, bottom + 1), outline=MARK, width=2)


def line(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    size: int,
    colour: str,
    width: int,
) -> None:
    """Write one line of text, its end cut off where it would be wider than `width`."""
    font = ImageFont.load_default(size)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if font.getlength(text) > width:
        while text and font.getlength(text + "...") > width:
            text = text[:-1]
        text += "..."
    pen.text(corner, text, fill=colour, font=font)
