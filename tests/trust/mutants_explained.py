"""Mutants that no test notices, and why that is no gap.

Each entry names a file, a function, a part of the line that is changed, and a part of what
`cargo mutants` calls the change; an empty string stands for any.
"""

from __future__ import annotations

from typing import NamedTuple


class Explained(NamedTuple):
    """Changes of one kind, and why nothing can tell."""

    why: str
    file: str
    function: str
    text: str = ""
    change: str = ""

    def explains(self, file: str, function: str, text: str, change: str) -> bool:
        """Whether a mutant is one of these."""
        same = self.file == file and self.function == function
        return same and self.text in text and self.change in change


EXPLAINED: list[Explained] = [
    Explained(
        "at the limit itself an overlap of 10^-12 of a box is nothing either way",
        "src/geometry/coords.rs",
        "AxisMap::overlap",
        "common < 1e-12 * ratio",
        "replace < with <=",
    ),
    Explained(
        "one over zero is infinite, and has no whole part either",
        "src/geometry/coords.rs",
        "AxisMap::period",
        "Rule::Factor(f) if f > 0.0",
        "replace > with >=",
    ),
    Explained(
        "what is asked is taken for places beyond the farthest, of which zero is none",
        "src/geometry/grid.rs",
        "Axis::place",
        "Outside::Border if free > 0.0",
        "replace > with >=",
    ),
    Explained(
        "zero either way",
        "src/geometry/grid.rs",
        "Axis::clamped",
        "if place > 0.0 { place } else { 0.0 }",
        "replace > with >=",
    ),
    Explained(
        "the same number either way",
        "src/geometry/grid.rs",
        "Axis::clamped",
        "(if low < self.last { low } else { self.last }",
        "replace < with <=",
    ),
    Explained(
        "a period that is added to zero is taken off again on the next line",
        "src/geometry/grid.rs",
        "Axis::mirrored",
        "let n = if n < 0.0",
        "replace < with <=",
    ),
    Explained(
        "the points of a box of no length are all inside or all outside",
        "src/geometry/roi.rs",
        "Points::candidates",
        "self.bin < 0.0",
        "replace < with <=",
    ),
    Explained(
        "bins of no length take the same, in whichever order they are filled",
        "src/geometry/roi.rs",
        "Takes<W>::sample",
        "let falling = p.bin < 0.0;",
        "replace < with <=",
    ),
    Explained(
        "an equal one is seen to on the line before",
        "src/geometry/roi.rs",
        "Takes<W>::take",
        "Some(&u) if u > element => self.earlier(element)",
        "replace > with >=",
    ),
    Explained(
        "an element behind the last is inserted behind it, only later",
        "src/geometry/roi.rs",
        "Takes<W>::take",
        "Some(&u) if u > element => self.earlier(element)",
        "replace match guard u > element with true",
    ),
    Explained(
        "one more output is looked at, which reads nothing outside",
        "src/geometry/sampler.rs",
        "Sampler::find_margins",
        "self.inside().take_while(|&o| self.map.position(o).floor < reach)",
        "replace < with <=",
    ),
    Explained(
        "a hair is no exact bound",
        "src/geometry/sampler.rs",
        "Sampler::side",
        "return if x < -hair {",
        "replace < with <=",
    ),
    Explained(
        "a hair is no exact bound",
        "src/geometry/sampler.rs",
        "Sampler::side",
        "return if x < -hair {",
        "replace > with >=",
    ),
    Explained(
        "outputs that end before an input weigh it by zeros, which are cut off again; only slower",
        "src/geometry/taps.rs",
        "Taps::transposed",
        "while first < self.out_len() && self.at(first).end() <= i",
        "replace < with >",
    ),
    Explained(
        "one loop for two taps, another for any number: the same positions and values",
        "src/kernels/argmax.rs",
        "fold_taps",
        "!L::LEAN =>",
        "replace match guard !L::LEAN with false",
    ),
    Explained(
        "which of two ways a window takes that give the same: its order does not matter",
        "src/kernels/reduce.rs",
        "is_long",
        "LONG_WINDOW * SIDE_BY_SIDE",
    ),
    Explained(
        "loops for few taps, another for any number: the same values",
        "src/kernels/reduce.rs",
        "<impl Job for DownRows<'_, T, F>>::run",
        "_ if L::LEAN =>",
        "replace match guard L::LEAN with false",
    ),
    Explained(
        "phases by blocks, or output by output: the same sums",
        "src/kernels/resample.rs",
        "Weighted<'_, T>::periodic",
        "=> self.blocks::<L",
        "delete match arm",
    ),
    Explained(
        "where inputs advance by more than one, a phase of two taps comes alone, and is a pair",
        "src/kernels/resample.rs",
        "one_phase",
        "out[i] = fma::<T, L>(b, s[i * Q + 1].get(), T::mul(a, s[i * Q].get()))",
        "replace * with / in",
    ),
]
