"""`grid_sample`, `affine_grid` and their gradients in plain Python, written to be read.

Every point is a product of what its coordinates read along each axis, as exact fractions of a place
that is computed in double, as the package documents it.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

import reference as ref

A = Fraction(-3, 4)
FARTHEST = 2.0**50


def cubic(distance):
    """Keys' cubic."""
    d = abs(distance)
    if d <= 1:
        return (A + 2) * d**3 - (A + 3) * d**2 + 1
    return A * d**3 - 5 * A * d**2 + 8 * A * d - 4 * A if d < 2 else Fraction(0)


def cubic_slope(distance):
    """Its derivative by the distance; at the outer end the one inside."""
    d, sign = abs(distance), -1 if distance < 0 else 1
    if d <= 1:
        return sign * (3 * (A + 2) * d**2 - 2 * (A + 3) * d)
    return sign * (3 * A * d**2 - 10 * A * d + 8 * A)


def mirrored(place, length, align):
    """A place mirrored into the array, and the sign the way there gave to its direction."""
    low, span = (Fraction(0), length - 1) if align else (Fraction(-1, 2), length)
    if span == 0:
        return Fraction(0), 0
    times, rest = divmod(place - low, span)
    return (low + rest, 1) if times % 2 == 0 else (low + span - rest, -1)


def clamped(place, length):
    """A place put in the array, and 0 if it is no longer inside."""
    return min(max(place, Fraction(0)), Fraction(length - 1)), 0 < place < length - 1


def taps(coordinate, length, mode, padding, align):
    """`(element, weight, slope)` of everything a coordinate reads along an axis.

    Elements outside the array are left out. The slope is the derivative by the coordinate.
    """
    scale = (length - 1) / 2 if align else length / 2
    with np.errstate(all="ignore"):
        place = float((np.float64(coordinate) + 1) * scale - (0 if align else 0.5))
    if not abs(place) <= FARTHEST:  # nor is a NaN
        if padding == "zeros":
            return []
        last = padding == "border" and place > 0
        return [(length - 1 if last else 0, Fraction(1), Fraction(0))]
    place, pace = Fraction(place), Fraction(scale)
    if mode == "bicubic":
        return bicubic_taps(place, pace, length, padding, align)
    if padding != "zeros":
        if padding == "reflection":
            place, sign = mirrored(place, length, align)
            pace *= sign
        place, moves = clamped(place, length)
        pace *= moves
    if mode == "nearest":
        found = [(round(place), Fraction(1), Fraction(0))]  # halves to the even one
    else:
        low = math.floor(place)
        found = [(low, low + 1 - place, -pace), (low + 1, place - low, pace)]
    return [tap for tap in found if 0 <= tap[0] < length]


def bicubic_taps(place, pace, length, padding, align):
    """The four elements around the place, each put in the array by itself."""
    found, low = [], math.floor(place)
    for element in range(low - 1, low + 3):
        weight, slope = cubic(place - element), cubic_slope(place - element) * pace
        at = element
        if padding == "reflection":
            at = int(mirrored(Fraction(element), length, align)[0])
        if padding != "zeros":
            at = min(max(at, 0), length - 1)
        found.append((at, weight, slope))
    return [tap for tap in found if 0 <= tap[0] < length]


def points_of(grid, lens, mode, padding, align):
    """For every point its place in `grid` and, for each axis, what it reads."""
    for place in np.ndindex(grid.shape[:-1]):
        coordinates = grid[place].astype(np.float64)[::-1]  # the first axis' first
        yield (
            place,
            [taps(c, n, mode, padding, align) for c, n in zip(coordinates, lens, strict=True)],
        )


def product(axes, number, sloped=None):
    """`(element along each axis, factor)` of a point, factors of zero left out."""
    for chosen in itertools.product(*axes):
        factor = math.prod(
            (tap[2] if axis == sloped else tap[1] for axis, tap in enumerate(chosen)),
            start=Fraction(1),
        )
        if number(factor):
            yield tuple(tap[0] for tap in chosen), number(factor)


def weights_of(dtype):
    """A function from a fraction to a weight; what is zero in the type of the sums is zero."""
    sums = np.float64 if dtype.itemsize == 8 else np.float32
    return lambda v: ref.wide(dtype)(float(v)) if sums(float(v)) else 0


def split(x, grid):
    """x as (batch, channels, *S) and grid as (batch, *S_out, n), and the shape of the result."""
    n = grid.shape[-1]
    batch, lens, outs = grid.shape[: -n - 1], x.shape[x.ndim - n :], grid.shape[-n - 1 : -1]
    assert x.shape[: len(batch)] == batch
    count = math.prod(batch)
    channels = math.prod(x.shape[len(batch) : x.ndim - n])
    blocks = x.reshape(count, channels, *lens)
    return blocks, grid.reshape(count, *outs, n), (*x.shape[: x.ndim - n], *outs)


def grid_sample(x, grid, mode, padding, align, absolute=False):
    """The samples, in a wide type; of integers, exact fractions; nearest ones as they are."""
    blocks, grids, shape = split(x, grid)
    integers = x.dtype.kind in "biu"
    number = int if mode == "nearest" else Fraction if integers else weights_of(x.dtype)
    if mode != "nearest":
        blocks = blocks.astype(object if integers else ref.wide(x.dtype))
    out = np.zeros((*blocks.shape[:2], *grids.shape[1:-1]), blocks.dtype)
    for block, points, result in zip(blocks, grids, out, strict=True):
        if mode != "nearest" and integers:
            result[...] = Fraction(0)
        for place, axes in points_of(points, block.shape[1:], mode, padding, align):
            for element, weight in product(axes, number):
                value = block[(slice(None), *element)]
                if mode == "nearest":
                    result[(slice(None), *place)] = value
                else:
                    with np.errstate(invalid="ignore"):
                        result[(slice(None), *place)] += value * (
                            abs(weight) if absolute else weight
                        )
    return out.reshape(shape)


def grid_sample_backward(grad, x, grid, mode, padding, align, absolute=False):
    """Both gradients, in a wide type."""
    number, wide = weights_of(x.dtype), ref.wide(x.dtype)
    blocks, grids, _ = split(x.astype(wide), grid)
    grads = grad.astype(wide).reshape(*blocks.shape[:2], *grids.shape[1:-1])
    grad_x, grad_grid = np.zeros_like(blocks), np.zeros(grids.shape, wide)
    for block, points, g, to_x, to_grid in zip(
        blocks, grids, grads, grad_x, grad_grid, strict=True
    ):
        n = points.shape[-1]
        for place, axes in points_of(points, block.shape[1:], mode, padding, align):
            here = g[(slice(None), *place)]
            for element, weight in product(axes, number):
                to_x[(slice(None), *element)] += here * (abs(weight) if absolute else weight)
            for axis in range(n):
                for element, slope in product(axes, number, axis):
                    met = (here * block[(slice(None), *element)]).sum()
                    to_grid[(*place, n - 1 - axis)] += met * (abs(slope) if absolute else slope)
    return grad_x.reshape(x.shape), grad_grid.reshape(grid.shape)


def base(spatial, align):
    """The coordinates of every element of an array, the last axis' first, and 1 at the end."""
    along = []
    for n in spatial:
        i = np.arange(n, dtype=np.float64)
        along.append(np.zeros(1) if align and n == 1 else (2 * i + 1 - n) / n)
        if align and n > 1:
            along[-1] = (2 * i + 1 - n) / (n - 1)
    meshes = np.meshgrid(*along, indexing="ij")
    return np.stack([*meshes[::-1], np.ones(spatial)], -1)


def affine_grid(theta, spatial, align, absolute=False):
    """The points, in a wide type."""
    number = ref.wide(theta.dtype)
    points = base(spatial, align).astype(number)
    theta = theta.astype(number)
    points = abs(points) if absolute else points
    return np.einsum("...ij,pj->...pi", theta, points.reshape(-1, points.shape[-1])).reshape(
        *theta.shape[:-2], *spatial, len(spatial)
    )


def affine_grid_backward(grad, align, absolute=False):
    """The gradient of the matrices, in a wide type."""
    number, n = ref.wide(grad.dtype), grad.shape[-1]
    spatial = grad.shape[-n - 1 : -1]
    points = base(spatial, align).astype(number).reshape(-1, n + 1)
    points = abs(points) if absolute else points
    flat = grad.astype(number).reshape(*grad.shape[: -n - 1], -1, n)
    return np.einsum("...pi,pj->...ij", flat, points)
