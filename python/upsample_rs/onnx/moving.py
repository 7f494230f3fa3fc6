"""DepthToSpace, SpaceToDepth and Col2Im. Shuffles move every type that ONNX has, strings too."""

from __future__ import annotations

from typing import Any

import upsample_rs as us

from .node import Node, by_places, pairs

__all__ = ["Col2Im", "DepthToSpace", "SpaceToDepth"]


class DepthToSpace(Node):
    """Blocks of elements out of channels."""

    def _run(self, x: Any, blocksize: int, mode: Any = "DCR") -> tuple[Any]:
        return (by_places(x, lambda moved: us.depth_to_space(moved, blocksize, mode)),)


class SpaceToDepth(Node):
    """Channels out of blocks of elements."""

    def _run(self, x: Any, blocksize: int, mode: Any = "DCR") -> tuple[Any]:
        return (by_places(x, lambda moved: us.space_to_depth(moved, blocksize, mode)),)


class Col2Im(Node):
    """Columns added up to images."""

    def _run(self, x: Any, image_shape: Any, block_shape: Any, **a: Any) -> tuple[Any]:
        image, kernel = ([int(k) for k in v] for v in (image_shape, block_shape))
        n = len(image)
        dilation = self.entries("dilations", a["dilations"], n, 1)
        padding = pairs(self.entries("pads", a["pads"], 2 * n, 0))
        stride = self.entries("strides", a["strides"], n, 1)
        return (us.fold(x, image, kernel, dilation, padding, stride),)
