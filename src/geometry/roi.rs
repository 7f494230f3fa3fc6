//! One side of a region of interest: which elements each of its bins takes, and with what weights.
//!
//! `RoIAlign` reads every bin at a grid of points, between the elements around them. The grid is the product of those of
//! the two sides, a point outside the image is outside along one of them, and a point's four weights are products, so an
//! average over the grid is a weighted sum along one side and then along the other. However many points there are, an
//! element so has one weight for each bin. `RoIPool` takes whole elements; its weights are all 1.

use std::ops::Range;

use super::taps::reserved;
use crate::error::{Error, Result};

/// Most sample points along a side of a bin.
pub const MAX_SAMPLING: usize = 1 << 16;

/// From here on a double no longer tells one element from the next.
pub const FARTHEST: f64 = 9_007_199_254_740_992.0;

/// Grids up to this many points are walked; in longer ones the points inside the image are searched for.
const WALKED: u64 = 32;

/// One side of a box, cut into bins, over an axis of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// The box's two ends, in elements of the image (scaled already).
    pub ends: [f64; 2],
    /// Number of bins.
    pub bins: usize,
    /// Elements of the image along this axis, at least 1.
    pub len: usize,
}

/// Sample points of a [`Side`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Points {
    start: f64,
    /// Length of a bin; negative if the box's ends are the wrong way round, which `aligned` allows.
    bin: f64,
    bins: usize,
    /// Points of each bin.
    grid: u64,
    len: usize,
}

impl Side {
    /// The points `RoIAlign` reads: `sampling` for each bin, or as many as it has elements, rounded up. `aligned` moves
    /// the box by half an element, so that a whole coordinate is the edge between two elements and not the centre of one;
    /// without it a box is at least one element long.
    #[must_use]
    pub fn points(&self, sampling: Option<usize>, aligned: bool) -> Points {
        let offset = if aligned { 0.5 } else { 0.0 };
        let [start, end] = self.ends.map(|e| e - offset);
        let size = if aligned { end - start } else { (end - start).max(1.0) };
        let bin = size / self.bins as f64;
        let grid = sampling.map_or_else(|| bin.ceil().max(0.0) as u64, |n| n as u64);
        Points { start, bin, bins: self.bins, grid, len: self.len }
    }

    /// The elements `RoIPool` takes for bin `o`: ends rounded to whole elements, both included, at least one element; bins
    /// share the element a border falls into; what lies outside the image is cut off.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
    fn quantised(&self, o: usize) -> Range<usize> {
        let [start, end] = self.ends.map(|e| e.round() as i128);
        let size = (end - start + 1).max(1);
        let (o, bins, len) = (o as i128, self.bins as i128, self.len as i128);
        let inside = |edge: i128| (start + edge).clamp(0, len) as usize;
        inside(o * size / bins)..inside(((o + 1) * size + bins - 1) / bins)
    }
}

impl Points {
    /// Point `i` of bin `o`, rounded as torchvision rounds it (in double).
    fn at(&self, o: usize, i: u64) -> f64 {
        self.start + o as f64 * self.bin + (i as f64 + 0.5) * self.bin / self.grid as f64
    }

    /// Points of bin `o` outside which none is in the image.
    fn candidates(&self, o: usize) -> Range<u64> {
        if self.grid <= WALKED {
            return 0..self.grid;
        }
        let (falling, len) = (self.bin < 0.0, self.len as f64);
        // Points never turn back, so those inside lie between two places that can be searched for.
        let before = |p: f64| if falling { p > len } else { p < -1.0 };
        let not_after = |p: f64| if falling { p >= -1.0 } else { p <= len };
        let start = first_not(self.grid, |i| before(self.at(o, i)));
        let end = first_not(self.grid, |i| not_after(self.at(o, i)));
        start..end.max(start)
    }

    /// The element before a point and the weight of the one after it; none if the point is more than one element outside
    /// the image. Between the image's edge and there, the value is the edge's.
    #[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
    fn neighbours(&self, point: f64) -> Option<(usize, f64)> {
        if !(-1.0..=self.len as f64).contains(&point) {
            return None;
        }
        let point = point.max(0.0);
        let low = point as usize;
        Some(if low >= self.len - 1 { (self.len - 1, 0.0) } else { (low, point - low as f64) })
    }
}

/// The first number below `n` that `holds` is false for, if it is never true again from there on.
#[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
fn first_not(n: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// What is kept of the weights an element has at the points of a bin.
pub trait Tally: Copy + Default + Send + Sync + 'static {
    /// One weight, above 0.
    fn of(weight: f64) -> Self;
    /// One more.
    fn add(&mut self, weight: f64);
    /// All points of a bin have been seen.
    fn close(&mut self, points: u64);
}

/// The mean over the points.
impl Tally for f64 {
    fn of(weight: f64) -> Self {
        weight
    }
    fn add(&mut self, weight: f64) {
        *self += weight;
    }
    fn close(&mut self, points: u64) {
        *self /= points as f64;
    }
}

/// Largest and smallest weight.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Extremes {
    /// The largest.
    pub largest: f64,
    /// The smallest, above 0.
    pub smallest: f64,
}

impl Tally for Extremes {
    fn of(weight: f64) -> Self {
        Self { largest: weight, smallest: weight }
    }
    fn add(&mut self, weight: f64) {
        self.largest = self.largest.max(weight);
        self.smallest = self.smallest.min(weight);
    }
    fn close(&mut self, _: u64) {}
}

/// Only whether there was one.
impl Tally for () {
    fn of(_: f64) -> Self {}
    fn add(&mut self, _: f64) {}
    fn close(&mut self, _: u64) {}
}

/// What the bins of one side take. Made to be filled again, box after box.
#[derive(Debug, Clone, Default)]
pub struct Takes<W> {
    /// The elements some bin takes, ascending.
    pub used: Vec<usize>,
    /// For each bin in turn, places in `used`, ascending.
    pub places: Vec<usize>,
    /// As `places`: what the bin takes of that element.
    pub weights: Vec<W>,
    /// For each bin, where its `places` begin and end.
    pub spans: Vec<(usize, usize)>,
    /// For each bin, whether a zero was among the values read: a point outside the image, or an element of weight 0.
    /// (Such an element is not read: a NaN there has no weight.)
    pub zeros: Vec<bool>,
}

impl<W: Tally> Takes<W> {
    /// The elements from the first that is taken to the last; empty if none is.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
    pub fn extent(&self) -> Range<usize> {
        match self.used[..] {
            [first, .., last] => first..last + 1,
            [only] => only..only + 1,
            [] => 0..0,
        }
    }

    /// The elements and weights of bin `o`.
    pub fn bin(&self, o: usize) -> impl Iterator<Item = (usize, W)> {
        let (start, end) = self.spans[o];
        self.places[start..end].iter().map(|&p| self.used[p]).zip(self.weights[start..end].iter().copied())
    }

    fn restart(&mut self, bins: usize) -> Result<()> {
        self.used.clear();
        self.places.clear();
        self.weights.clear();
        if self.spans.len() != bins {
            (self.spans, self.zeros) = (reserved(bins)?, reserved(bins)?);
            self.spans.resize(bins, (0, 0));
            self.zeros.resize(bins, false);
        }
        Ok(())
    }

    /// Takes what sample points read.
    ///
    /// # Errors
    /// If there is no memory for the tables.
    #[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
    pub fn sample(&mut self, p: &Points) -> Result<()> {
        self.restart(p.bins)?;
        let falling = p.bin < 0.0;
        for step in 0..p.bins {
            // Always from the lowest point to the highest.
            let o = if falling { p.bins - 1 - step } else { step };
            let from = self.places.len();
            let points = p.candidates(o);
            let count = points.end - points.start;
            let mut zero = count < p.grid;
            self.reserve(2 * count as usize)?;
            for j in 0..count {
                let i = if falling { points.end - 1 - j } else { points.start + j };
                let Some((low, weight)) = p.neighbours(p.at(o, i)) else {
                    zero = true;
                    continue;
                };
                self.take(from, low, 1.0 - weight);
                if weight > 0.0 {
                    self.take(from, low + 1, weight);
                } else {
                    zero = true;
                }
            }
            self.weights[from..].iter_mut().for_each(|w| w.close(p.grid));
            (self.spans[o], self.zeros[o]) = ((from, self.places.len()), zero);
        }
        Ok(())
    }

    /// Takes whole elements.
    ///
    /// # Errors
    /// As [`Takes::sample`].
    pub fn quantise(&mut self, side: &Side) -> Result<()> {
        self.restart(side.bins)?;
        for o in 0..side.bins {
            let from = self.places.len();
            let elements = side.quantised(o);
            self.reserve(elements.len())?;
            elements.for_each(|i| self.take(from, i, 1.0));
            (self.spans[o], self.zeros[o]) = ((from, self.places.len()), false);
        }
        Ok(())
    }

    fn reserve(&mut self, n: usize) -> Result<()> {
        let failed = |_| Error::memory(format!("cannot allocate a table of {n} entries"));
        self.used.try_reserve(n).map_err(failed)?;
        self.places.try_reserve(n).map_err(failed)?;
        self.weights.try_reserve(n).map_err(failed)
    }

    /// One weight of one element, for the bin whose places begin at `from`. Elements come in order, but for a step back
    /// from one point's second to the next one's first, so a known one is among the last few.
    #[inline]
    #[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
    fn take(&mut self, from: usize, element: usize, weight: f64) {
        let last = self.used.len().wrapping_sub(1);
        let place = match self.used.last() {
            Some(&u) if u == element => last,
            Some(&u) if u > element => self.earlier(element),
            _ => {
                self.used.push(element);
                last.wrapping_add(1)
            }
        };
        let recent = from.max(self.places.len().saturating_sub(2));
        match self.places[recent..].iter().rposition(|&p| p == place) {
            Some(j) => self.weights[recent + j].add(weight),
            None => {
                self.places.push(place);
                self.weights.push(W::of(weight));
            }
        }
    }

    /// The place of an element before the last one used.
    #[allow(clippy::arithmetic_side_effects, reason = "bins and positions within an axis, at most 2^29 of either")]
    fn earlier(&mut self, element: usize) -> usize {
        match self.used.iter().rposition(|&u| u <= element) {
            Some(p) if self.used[p] == element => p,
            found => {
                // So far outside that a double's last place is an element, one bin may overtake the next.
                let p = found.map_or(0, |p| p + 1);
                self.places.iter_mut().filter(|q| **q >= p).for_each(|q| *q += 1);
                self.used.insert(p, element);
                p
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(ends: [f64; 2], bins: usize, len: usize, sampling: Option<usize>, aligned: bool) -> Takes<f64> {
        let mut takes = Takes::default();
        let made = takes.sample(&Side { ends, bins, len }.points(sampling, aligned));
        assert_eq!(made, Ok(()));
        takes
    }

    fn weights(takes: &Takes<f64>, o: usize) -> Vec<(usize, f64)> {
        takes.bin(o).collect()
    }

    #[test]
    fn points_share_elements() {
        let takes = sampled([0.0, 4.0], 2, 5, Some(2), false); // points 0.5, 1.5 and 2.5, 3.5
        assert_eq!(weights(&takes, 0), [(0, 0.25), (1, 0.5), (2, 0.25)]);
        assert_eq!(weights(&takes, 1), [(2, 0.25), (3, 0.5), (4, 0.25)]);
        assert_eq!(takes.used, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn outside_counts_as_zero_and_the_edge_is_repeated() {
        let takes = sampled([-4.0, 4.0], 2, 3, Some(4), false); // -3.5 .. -0.5 and 0.5 .. 3.5
        assert_eq!(weights(&takes, 0), [(0, 0.25)]);
        assert_eq!(weights(&takes, 1), [(0, 0.125), (1, 0.25), (2, 0.375)]);
        assert_eq!(takes.zeros, [true, true]);
    }

    #[test]
    fn boxes_far_larger_than_the_image_are_searched() {
        for far in [2.0_f64.powi(40), 2.0_f64.powi(52)] {
            let takes = sampled([-far, far], 1, 9, None, false);
            let total: f64 = weights(&takes, 0).iter().map(|w| w.1).sum();
            assert!(total > 8.0 / (2.0 * far) && total < 12.0 / (2.0 * far), "{total:e}");
            // (At 2^52 doubles are whole numbers, and only every second is met.)
            assert!(far > 2.0_f64.powi(50) || takes.used == (0..9).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_search_finds_what_a_walk_finds() {
        // (Of the last two some points lie at both ends of what is inside.)
        let ends = [(-70.3, 90.7), (3.2, 200.0), (-300.0, -2.5), (150.0, 12.0), (-29.0, 121.0), (41.0, -109.0)];
        for (start, end) in ends {
            let p = Side { ends: [start, end], bins: 3, len: 20 }.points(Some(50), true);
            for o in 0..3 {
                let inside: Vec<u64> = (0..50).filter(|&i| p.neighbours(p.at(o, i)).is_some()).collect();
                assert_eq!(p.candidates(o).collect::<Vec<_>>(), inside, "{start} {end} {o}");
            }
        }
    }

    #[test]
    fn ends_the_wrong_way_round_are_read_backwards() {
        let (falling, rising) = (sampled([4.5, 0.5], 2, 5, Some(2), true), sampled([0.5, 4.5], 2, 5, Some(2), true));
        assert_eq!(weights(&falling, 0), weights(&rising, 1));
        assert_eq!(weights(&falling, 1), weights(&rising, 0));
        assert!(sampled([4.5, 0.5], 2, 5, None, true).used.is_empty());
    }

    #[test]
    fn whole_elements_are_exact_at_any_distance() {
        let side = |ends, bins, len| Side { ends, bins, len };
        assert_eq!(side([0.5, 6.4], 3, 9).quantised(1), 3..5); // 1 ..= 6: two each
        assert_eq!(side([-0.5, 2.5], 2, 9).quantised(0), 0..2); // -1 ..= 3, halves away from zero
        assert_eq!(side([5.0, 2.0], 2, 9).quantised(1), 5..6); // one element, shared
        assert_eq!(side([-FARTHEST, FARTHEST], 2, 9).quantised(0), 0..1);
        assert_eq!(side([-FARTHEST, FARTHEST], 2, 9).quantised(1), 0..9);
    }
}
