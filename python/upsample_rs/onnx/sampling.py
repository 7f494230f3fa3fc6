"""GridSample, AffineGrid, RoiAlign and MaxRoiPool."""

from __future__ import annotations

from typing import Any

import numpy as np

import upsample_rs as us

from .node import Node
from .resizing import by_parts

__all__ = ["AffineGrid", "GridSample", "MaxRoiPool", "RoiAlign"]

# Version 16 names the modes for images, version 20 for any number of axes.
_MODES = {"linear": "bilinear", "cubic": "bicubic"}


class GridSample(Node):
    """An array read at points."""

    def _run(self, x: Any, grid: Any, **a: Any) -> tuple[Any]:
        mode, edge, corners = a["mode"], a["padding_mode"], bool(a["align_corners"])
        if x.ndim != grid.ndim or grid.shape[0] != x.shape[0]:
            raise self.complaint(f"grid.shape = {grid.shape} does not fit X.shape = {x.shape}")
        words = {"mode": _MODES.get(mode, mode), "padding_mode": edge, "align_corners": corners}

        def sample(part: Any) -> Any:
            return us.grid_sample(part, grid, **words, rounding="trunc")

        return (sample(x) if mode == "nearest" else by_parts(x, sample),)


class AffineGrid(Node):
    """The points at which an affine map reads an array."""

    def _run(self, theta: Any, size: Any, align_corners: int = 0) -> tuple[Any]:
        return (us.affine_grid(theta, [int(length) for length in size], bool(align_corners)),)


class RoiAlign(Node):
    """Boxes of images, each read at a few points of each of its bins."""

    def _run(self, x: Any, rois: Any, batch_indices: Any, **a: Any) -> tuple[Any]:
        boxes = np.column_stack([batch_indices, np.asarray(rois, np.float64)])
        # The attribute came with version 16; before it there was one rule.
        rule = a.get("coordinate_transformation_mode", "output_half_pixel")
        if rule not in ("half_pixel", "output_half_pixel"):
            raise self.complaint(f"coordinate_transformation_mode = {rule!r}: is not one")
        size = (a["output_height"], a["output_width"])
        words = {"aligned": rule == "half_pixel", "mode": a["mode"]}
        return (us.roi_align(x, boxes, size, a["spatial_scale"], a["sampling_ratio"], **words),)


class MaxRoiPool(Node):
    """Boxes of images, the largest element of each of their bins."""

    def _run(self, x: Any, rois: Any, pooled_shape: Any, spatial_scale: float = 1.0) -> tuple[Any]:
        size = self.entries("pooled_shape", pooled_shape, 2, 1)
        return (us.roi_pool(x, np.asarray(rois, np.float64), size, spatial_scale),)
