"""Hand-made features of small square pictures, in numpy: edges, texture and colour.

No learning belongs here. `FEATURES_VERSION` changes with every change of what comes out, since trained models hold it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

FEATURES_VERSION = "hog-lbp-colour-1"
PICTURE_PIXELS = 96
CELL_PIXELS = 12
DIRECTIONS = 9
TEXTURE_GRID = 3
# a neighbour counts as brighter only beyond the noise of JPEG, in steps of 0 to 255
TEXTURE_THRESHOLD = 2.0
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
OTHER_TEXTURE = 58
TEXTURES = 59
COLOURS = 64

Floats = NDArray[np.float32]


def image_features(pixels: NDArray[np.uint8]) -> Floats:
    """One row of features for each picture: uint8 of shape (n, 96, 96, 3) to float32 of shape (n, 2423)."""
    return np.concatenate([_edges(pixels), _textures(pixels), _colours(pixels)], axis=1).astype(np.float32)


def _edges(pixels: NDArray[np.uint8]) -> Floats:
    """Histograms of oriented gradients (Dalal, Triggs 2005): 9 directions in cells of 12 pixels, blocks of four."""
    # the square root evens out light and shadow
    light = np.sqrt(pixels.astype(np.float32) / 255.0)
    across, down = np.zeros_like(light), np.zeros_like(light)
    across[:, :, 1:-1] = light[:, :, 2:] - light[:, :, :-2]
    down[:, 1:-1] = light[:, 2:] - light[:, :-2]
    squared = across**2 + down**2
    strongest = squared.argmax(axis=3)[..., None]
    across, down, squared = (np.take_along_axis(v, strongest, 3)[..., 0] for v in (across, down, squared))
    position = (np.arctan2(down, across) % np.pi) / np.pi * DIRECTIONS
    lower = np.floor(position)
    share = position - lower
    lower = lower.astype(np.int64) % DIRECTIONS
    upper = (lower + 1) % DIRECTIONS
    strength = np.sqrt(squared)
    cells = np.stack(
        [
            _cell_sums(strength * ((lower == direction) * (1 - share) + (upper == direction) * share))
            for direction in range(DIRECTIONS)
        ],
        axis=3,
    )
    blocks = np.concatenate([cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:]], 3)
    blocks = blocks / np.sqrt((blocks**2).sum(axis=3, keepdims=True) + 1e-2)
    # cutting at 0.2 keeps one strong edge from hiding all others
    blocks = np.minimum(blocks, 0.2)
    blocks = blocks / np.sqrt((blocks**2).sum(axis=3, keepdims=True) + 1e-3)
    rows: Floats = blocks.reshape(len(pixels), -1)
    return rows


def _cell_sums(values: Floats) -> Floats:
    count, height, width = values.shape
    grid = values.reshape(count, height // CELL_PIXELS, CELL_PIXELS, width // CELL_PIXELS, CELL_PIXELS)
    sums: Floats = grid.sum(axis=(2, 4))
    return sums


def _textures(pixels: NDArray[np.uint8]) -> Floats:
    """Local binary patterns (Ojala et al. 2002): which neighbours are brighter, counted in each ninth."""
    grey = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    centre = grey[:, 1:-1, 1:-1] + TEXTURE_THRESHOLD
    height, width = grey.shape[1:]
    code = np.zeros(centre.shape, dtype=np.int64)
    for bit, (y, x) in enumerate(NEIGHBOURS):
        code |= (grey[:, 1 + y : height - 1 + y, 1 + x : width - 1 + x] > centre).astype(np.int64) << bit
    texture = _texture_of_code()[code]
    side = texture.shape[1] // TEXTURE_GRID
    parts = [
        _histogram(texture[:, i * side : (i + 1) * side, j * side : (j + 1) * side], TEXTURES)
        for i in range(TEXTURE_GRID)
        for j in range(TEXTURE_GRID)
    ]
    return np.concatenate(parts, axis=1)


@cache
def _texture_of_code() -> NDArray[np.int64]:
    """The 58 patterns with at most two changes around the circle have numbers of their own, all others share one."""
    numbers = np.full(256, OTHER_TEXTURE, dtype=np.int64)
    uniform = 0
    for code in range(256):
        bits = [code >> bit & 1 for bit in range(8)]
        if sum(bits[i] != bits[i - 1] for i in range(8)) <= 2:
            numbers[code] = uniform
            uniform += 1
    return numbers


def _colours(pixels: NDArray[np.uint8]) -> Floats:
    """Shares of 64 colours in the whole picture and in its middle."""
    quarters = (pixels // 64).astype(np.int64)
    colour = quarters[..., 0] * 16 + quarters[..., 1] * 4 + quarters[..., 2]
    margin = colour.shape[1] // 4
    middle = colour[:, margin:-margin, margin:-margin]
    return np.concatenate([_histogram(colour, COLOURS), _histogram(middle, COLOURS)], axis=1)


def _histogram(numbers: NDArray[np.int64], kinds: int) -> Floats:
    """Square roots of each kind's share, a row for each picture."""
    flat = numbers.reshape(len(numbers), -1)
    rows = np.arange(len(flat))[:, None] * kinds
    counts = np.bincount((flat + rows).ravel(), minlength=len(flat) * kinds).reshape(-1, kinds)
    return np.sqrt(counts / flat.shape[1]).astype(np.float32)
