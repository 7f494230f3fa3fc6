//! The windows that read each element of an axis: a pooling seen from its input, which is how its gradient sees it.

use std::ops::Range;

use super::bins::Bins;
use super::taps::reserved;
use super::window::{Pad, Windows};
use super::{Reach, gcd};
use crate::error::Result;

/// Which windows read each element of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readers {
    windows: usize,
    /// From the first to the last window that may read each element; starts and ends never decrease.
    hulls: Vec<Reach>,
    /// The windows that do, where dilation leaves gaps between them.
    exact: Option<Vec<Reach>>,
    /// Elements and windows after which the same readers come again, if the windows are equally far apart.
    period: (usize, usize),
}

impl Readers {
    /// The readers of each element that these windows are cut from.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    pub fn new(bins: &Bins) -> Result<Self> {
        let windows = bins.out_len();
        let mut hulls = reserved(bins.in_len())?;
        let mut exact = None;
        let period = match bins {
            Bins::Sliding(w) => {
                hulls.extend((0..w.in_len).map(|i| hull(w, i)));
                if w.dilation > 1 && w.kernel > 1 {
                    let members = Members::new(w);
                    let mut reaches = reserved(w.in_len)?;
                    reaches.extend(hulls.iter().enumerate().map(|(i, r)| members.of(w, i, *r)));
                    exact = Some(reaches);
                }
                (w.stride, 1)
            }
            Bins::Listed { in_len, windows: list } => {
                let (mut first, mut end) = (0, 0);
                hulls.extend((0..*in_len).map(|i| {
                    while first < windows && list[first].end() <= i {
                        first += 1;
                    }
                    end = end.max(first);
                    while end < windows && list[end].start <= i {
                        end += 1;
                    }
                    Reach { start: first, count: end - first, step: 1 }
                }));
                let common = gcd(*in_len, windows).max(1);
                (in_len / common, windows / common)
            }
        };
        Ok(Self { windows, hulls, exact, period })
    }

    /// Elements of the axis.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hulls.len()
    }

    /// Whether the axis has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hulls.is_empty()
    }

    /// Number of windows.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.windows
    }

    /// Elements and windows after which the same readers come again, or none.
    #[must_use]
    pub fn period(&self) -> (usize, usize) {
        self.period
    }

    /// The neighbouring windows among which the readers of element `i` are; starts and ends never decrease with `i`.
    #[inline(always)]
    #[must_use]
    pub fn hull(&self, i: usize) -> Reach {
        self.hulls[i]
    }

    /// The readers of element `i`.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, i: usize) -> Reach {
        self.exact.as_ref().map_or_else(|| self.hulls[i], |exact| exact[i])
    }

    /// The readers of every element.
    #[must_use]
    pub fn all(&self) -> &[Reach] {
        self.exact.as_ref().unwrap_or(&self.hulls)
    }

    /// Whether dilation leaves gaps between the readers of an element.
    #[must_use]
    pub fn have_gaps(&self) -> bool {
        self.exact.is_some()
    }

    /// The windows that read any of these elements, and those between them; at least one.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    pub fn of(&self, elements: Range<usize>) -> Range<usize> {
        let (Some(first), Some(last)) = (self.hulls.get(elements.start), self.hulls[..elements.end].last()) else {
            return 0..self.windows.min(1);
        };
        let (start, end) = (first.start, last.end());
        if start < end { start..end } else { start.min(self.windows - 1)..start.min(self.windows - 1) + 1 }
    }

    /// Most neighbouring windows that an element's readers are spread over.
    #[must_use]
    pub fn widest(&self) -> usize {
        self.hulls.iter().map(|r| r.count).max().unwrap_or(0)
    }

    /// The readers as sliding windows over the windows, if these are a step of one apart and every element has readers.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    pub fn sliding(&self, bins: &Bins) -> Option<Bins> {
        let Bins::Sliding(w) = bins else { return None };
        let span = (w.kernel - 1).saturating_mul(w.dilation);
        let turned = Windows {
            in_len: w.out_len,
            out_len: w.in_len,
            pad: Pad { before: span.checked_sub(w.pad.before)?, after: span },
            ..*w
        };
        (w.stride == 1 && self.all().iter().all(|r| r.count > 0)).then_some(Bins::Sliding(turned))
    }

    /// The length of blocks by which an axis can be scanned (see [`crate::engine::pipeline::Way::Scan`]), if it can: every
    /// element has readers, which begin a block, or end one, or lie on both sides of the border of two.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    pub fn scanned_by(&self) -> Option<usize> {
        let widest = self.widest();
        let fits = |block: usize| {
            self.hulls.iter().all(|r| {
                let of = r.start / block;
                let across = r.end() >= ((of + 1) * block).min(self.windows) && r.end() <= (of + 2) * block;
                r.count > 0 && (r.start == of * block || across)
            })
        };
        let found = [widest, widest.saturating_sub(1)].into_iter().find(|&block| block > 0 && fits(block));
        found.filter(|_| self.exact.is_none())
    }
}

/// The windows whose span, gaps included, has element `i`.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "positions within the axis, of windows that fit it; steps are at least 1"
)]
fn hull(w: &Windows, i: usize) -> Reach {
    let place = i.saturating_add(w.pad.before);
    let span = (w.kernel - 1).saturating_mul(w.dilation);
    let start = place.saturating_sub(span).div_ceil(w.stride).min(w.out_len);
    let end = (place / w.stride).saturating_add(1).clamp(start, w.out_len);
    Reach { start, count: end - start, step: 1 }
}

/// Which windows of a hull have an element at the place, and not between two of theirs: those `o` for which
/// `o*stride` and the place leave the same remainder by the dilation.
struct Members {
    /// What stride and dilation have in common.
    common: usize,
    /// Windows from one member to the next.
    step: usize,
    /// `stride/common` times this leaves 1 by `step`.
    inverse: usize,
}

impl Members {
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    fn new(w: &Windows) -> Self {
        let common = gcd(w.stride, w.dilation);
        let step = w.dilation / common;
        Self { common, step, inverse: inverse(w.stride / common % step, step) }
    }

    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    fn of(&self, w: &Windows, i: usize, hull: Reach) -> Reach {
        let place = i.saturating_add(w.pad.before);
        let none = Reach { count: 0, ..hull };
        if !place.is_multiple_of(self.common) {
            return none;
        }
        let (member, behind) = ((place / self.common) as u128, self.step - hull.start % self.step);
        let ahead = ((member * self.inverse as u128 + behind as u128) % self.step as u128) as usize;
        match (hull.count.saturating_sub(ahead)).div_ceil(self.step) {
            0 => none,
            count => Reach { start: hull.start + ahead, count, step: self.step },
        }
    }
}

/// The number below `modulus` whose product with `a` leaves 1 by it; the two have no factor in common.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "positions within the axis, of windows that fit it; steps are at least 1"
)]
fn inverse(a: usize, modulus: usize) -> usize {
    let (mut old, mut rest) = (modulus as i128, a as i128);
    let (mut old_factor, mut factor) = (0_i128, 1_i128);
    while rest != 0 {
        let whole = old / rest;
        (old, rest) = (rest, old - whole * rest);
        (old_factor, factor) = (factor, old_factor - whole * factor);
    }
    old_factor.rem_euclid(modulus as i128) as usize
}

/// How long runs of windows are put together: from the end of one block and the beginning of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// Windows from one of a run to the next.
    pub step: usize,
    /// Whether a window begins a block.
    pub begins: Vec<bool>,
    /// Whether a window ends a block.
    pub ends: Vec<bool>,
    /// What the run of each element is made of.
    pub parts: Vec<Part>,
}

/// What a run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Empty,
    /// A block from its beginning to this window.
    UpTo(usize),
    /// A block from this window to its end.
    From(usize),
    /// One block from a window to its end, and the next from its beginning to a window.
    Both(usize, usize),
    /// These windows within a block, few.
    Within(Reach),
}

impl Blocks {
    /// Blocks as long as the longest run.
    ///
    /// # Errors
    /// If the tables cannot be allocated.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis, of windows that fit it; steps are at least 1"
    )]
    pub fn new(readers: &Readers) -> Result<Self> {
        let runs = readers.all();
        let block = runs.iter().map(|r| r.count).max().unwrap_or(0).max(1);
        let step = runs.iter().find(|r| r.count > 1).map_or(1, |r| r.step);
        let windows = readers.windows();
        let (mut begins, mut ends, mut parts) = (reserved(windows)?, reserved(windows)?, reserved(runs.len())?);
        begins.extend((0..windows).map(|o| (o / step).is_multiple_of(block)));
        ends.extend((0..windows).map(|o| (o / step + 1).is_multiple_of(block) || windows - o <= step));
        parts.extend(runs.iter().map(|r| {
            if r.count == 0 {
                return Part::Empty;
            }
            let (first, last) = (r.start, r.end() - 1);
            if first / step / block != last / step / block {
                Part::Both(first, last)
            } else if begins[first] {
                Part::UpTo(last)
            } else if ends[last] {
                Part::From(first)
            } else {
                Part::Within(*r)
            }
        }));
        Ok(Self { step, begins, ends, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_times_its_inverse_leaves_one() {
        for modulus in 1..60 {
            for a in (0..modulus).filter(|&a| gcd(a, modulus) == 1) {
                let b = inverse(a, modulus);
                assert!(b < modulus && a * b % modulus == 1 % modulus, "{a} {b} {modulus}");
            }
        }
    }
}
