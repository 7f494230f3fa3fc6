//! One axis of a resize: a method at the coordinates of a rule, with a rule for what lies outside.
//!
//! Taps and picks made here read an axis that begins `before` elements ahead of the input and ends `after` elements
//! behind it. Both are zero but where an edge rule wants more than the input's own ends: then whoever runs the resize
//! extends the input first, by [`Sampler::source`]. A backward sends what it finds there back the same way.

use std::ops::Range;
use std::sync::Arc;

use super::coords::{AxisMap, NearestRounding, Rule};
use super::filter::Filter;
use super::recent;
use super::taps::{MOST_ENTRIES, Picks, Taps, reserved};
use crate::error::{Error, Result};

/// How the inputs near a position are weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// One input alone.
    Nearest(NearestRounding),
    /// A filter; antialiased, it widens by the ratio of shrinking.
    Filtered {
        /// The filter.
        filter: Filter,
        /// Whether it widens.
        antialias: bool,
    },
    /// The share each input has in an output's box, whose length is the ratio.
    Area,
    /// The mean of inputs `floor(o*in/out) .. ceil((o + 1)*in/out)`, whatever the coordinate rule: torch's area.
    Bins,
}

/// What lies outside the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edge {
    /// The first and the last element again and again: `a a | a b c d | d d`.
    #[default]
    Clamp,
    /// The input mirrored at its ends: `b a | a b c d | d c`.
    Reflect,
    /// The input mirrored at its first and last element: `c b | a b c d | c b`.
    Mirror,
    /// The input again and again: `c d | a b c d | a b`.
    Wrap,
    /// One value.
    Constant,
    /// Zeros, which are not read.
    Zero,
}

/// What lies outside, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outside {
    /// What lies there.
    pub edge: Edge,
    /// Whether it is left out, and the weights of the rest are made to add up to 1.
    pub exclude: bool,
    /// Whether outputs whose position lies there are the constant, whatever the edge.
    pub extrapolate: bool,
}

/// How one axis is resized.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampler {
    map: AxisMap,
    method: Method,
    edge: Edge,
    exclude_outside: bool,
    extrapolate: bool,
    margins: (usize, usize),
    inside: Range<usize>,
}

/// Weights of one output before the edges are seen to: of `lo`, `lo + 1`, ..., which may lie outside.
#[derive(Debug, Default)]
struct Row {
    lo: i64,
    weights: Vec<f64>,
}

impl Row {
    /// One past the last position.
    fn end(&self) -> i64 {
        self.lo.saturating_add(i64::try_from(self.weights.len()).unwrap_or(i64::MAX))
    }

    fn set(&mut self, lo: i64, weights: impl IntoIterator<Item = f64>) {
        self.lo = lo;
        self.weights.clear();
        self.weights.extend(weights);
    }

    /// Leaves out zeros at both ends.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    fn trim(&mut self) {
        let lead = self.weights.iter().take_while(|w| **w == 0.0).count();
        let kept = self.weights.len() - self.weights[lead..].iter().rev().take_while(|w| **w == 0.0).count();
        self.weights.truncate(kept);
        self.weights.drain(..lead);
        self.lo = self.lo.saturating_add(i64::try_from(lead).unwrap_or(0));
    }

    /// Makes the weights add up to 1, if they add up to anything.
    fn normalise(&mut self) {
        let sum: f64 = self.weights.iter().sum();
        if sum != 0.0 && sum != 1.0 {
            self.weights.iter_mut().for_each(|w| *w /= sum);
        }
    }
}

impl Sampler {
    /// An axis with these lengths and coordinates, and these weights.
    ///
    /// # Errors
    /// [`Error::Memory`] if its tables would be too large to make.
    pub fn new(map: AxisMap, method: Method, outside: Outside) -> Result<Self> {
        let Outside { edge, exclude, extrapolate } = outside;
        let inside = 0..map.out_len;
        // (Bins follow from the lengths, and repeat as positions do that follow from them.)
        let rule = if method == Method::Bins { Rule::HalfPixel } else { map.rule };
        let map = AxisMap { rule, ..map };
        let mut new = Self { map, method, edge, exclude_outside: exclude, extrapolate, margins: (0, 0), inside };
        new.check_table()?;
        new.inside = new.find_inside();
        new.margins = new.find_margins()?;
        Ok(new)
    }

    /// Lengths and coordinates.
    #[must_use]
    pub fn map(&self) -> &AxisMap {
        &self.map
    }

    /// What lies outside.
    #[must_use]
    pub fn edge(&self) -> Edge {
        self.edge
    }

    /// Elements before and behind the input that the taps read.
    #[must_use]
    pub fn margins(&self) -> (usize, usize) {
        self.margins
    }

    /// The outputs that are computed; the others are the constant.
    #[must_use]
    pub fn inside(&self) -> Range<usize> {
        self.inside.clone()
    }

    /// Whether this copies single inputs.
    #[must_use]
    pub fn is_move(&self) -> bool {
        matches!(self.method, Method::Nearest(_))
    }

    /// Whether every output is the input at the same place.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        let interpolates = match self.method {
            Method::Filtered { filter, .. } => filter.interpolates(),
            Method::Nearest(_) | Method::Area => true,
            Method::Bins => return self.map.in_len == self.map.out_len,
        };
        interpolates && self.map.is_identity()
    }

    /// Refuses tables that are too large to make.
    fn check_table(&self) -> Result<()> {
        let n = self.map.out_len;
        let total = self.widest() * n as f64;
        if n > MOST_ENTRIES || !self.is_move() && total > MOST_ENTRIES as f64 {
            return Err(Error::memory(format!(
                "weights of an axis = {total:.0}: at most {MOST_ENTRIES} are made for its {n} outputs"
            )));
        }
        Ok(())
    }

    /// Most weights of a row, roughly.
    fn widest(&self) -> f64 {
        match self.method {
            Method::Nearest(_) => 1.0,
            Method::Filtered { .. } | Method::Area => 2.0 * self.reach() as f64 + 2.0,
            Method::Bins => self.map.in_len as f64 / self.map.out_len as f64 + 2.0,
        }
    }

    /// Input elements per output element if the filter is widened by it, else 1.
    fn width(&self) -> f64 {
        match self.method {
            Method::Filtered { antialias: true, .. } | Method::Area => self.map.ratio().max(1.0),
            _ => 1.0,
        }
    }

    /// Whole elements to either side of a position beyond which no weight lies.
    fn reach(&self) -> i64 {
        let support = match self.method {
            Method::Nearest(_) | Method::Bins => 0.5,
            Method::Filtered { filter, .. } => filter.support(),
            Method::Area => 1.0,
        };
        (support * self.width()).ceil() as i64
    }

    /// The weights of output `o` in `row`, zeros at the ends left out.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    fn weigh(&self, o: usize, row: &mut Row) {
        let map = &self.map;
        let p = map.position(o);
        let reach = self.reach();
        let (lo, hi) = (p.floor.saturating_sub(reach), p.floor.saturating_add(reach).saturating_add(1));
        let from = |i: i64| (i128::from(i) - i128::from(p.floor)) as f64 - p.frac;
        match self.method {
            Method::Nearest(rounding) => row.set(map.index(o, rounding), [1.0]),
            Method::Bins => {
                let (len, n) = (map.in_len as i128, map.out_len as i128);
                let (start, end) = (o as i128 * len / n, ((o as i128 + 1) * len + n - 1) / n);
                let count = (end - start) as usize;
                row.set(start as i64, std::iter::repeat_n(1.0 / count as f64, count));
            }
            Method::Area if map.ratio() == 0.0 => row.set(p.floor, [1.0 - p.frac, p.frac]),
            Method::Area => row.set(lo, (lo..=hi).map(|i| map.overlap(o, i))),
            Method::Filtered { filter: Filter::Linear, antialias } => {
                if antialias && self.width() > 1.0 {
                    row.set(lo, (lo..=hi).map(|i| map.triangle(o, i)));
                } else {
                    row.set(p.floor, [1.0 - p.frac, p.frac]);
                }
            }
            Method::Filtered { filter, antialias: true } if self.width() > 1.0 => {
                row.set(lo, (lo..=hi).map(|i| filter.at(map.distance(o, i))));
            }
            Method::Filtered { filter, .. } => row.set(lo, (lo..=hi).map(|i| filter.at(from(i)))),
        }
        row.trim();
        let exact = match self.method {
            Method::Filtered { filter, .. } => filter.sums_to_one() && self.width() <= 1.0,
            Method::Nearest(_) | Method::Bins => true,
            Method::Area => false,
        };
        if !exact {
            row.normalise();
        }
    }

    fn len(&self) -> i64 {
        i64::try_from(self.map.in_len).unwrap_or(i64::MAX)
    }

    /// Sees to what lies outside, as far as that takes no more than the weights.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    fn settle(&self, row: &mut Row) {
        let len = self.len();
        let (lo, end) = (row.lo, row.end());
        if lo >= 0 && end <= len {
            return;
        }
        if end <= 0 || lo >= len {
            // All of it lies outside.
            match self.edge {
                _ if self.exclude_outside || self.edge == Edge::Clamp => {
                    row.set(if end <= 0 { 0 } else { len - 1 }, [1.0]);
                }
                Edge::Zero => row.set(0, []),
                Edge::Constant => row.set(if end <= 0 { -1 } else { len }, [1.0]),
                _ => {}
            }
            return;
        }
        let folds = self.edge == Edge::Clamp && !self.exclude_outside;
        if !folds && self.edge != Edge::Zero && !self.exclude_outside {
            return;
        }
        let left = usize::try_from(-lo).unwrap_or(0);
        let kept = usize::try_from(len.min(end) - lo).unwrap_or(0);
        if folds {
            let (first, last) = (left, kept - 1);
            let before: f64 = row.weights[..left].iter().sum();
            let after: f64 = row.weights[kept..].iter().sum();
            row.weights[first] += before;
            row.weights[last] += after;
        }
        row.weights.truncate(kept);
        row.weights.drain(..left);
        row.lo = lo.max(0);
        if self.exclude_outside {
            row.trim();
            row.normalise();
        }
    }

    fn find_margins(&self) -> Result<(usize, usize)> {
        let settles = matches!(self.edge, Edge::Clamp | Edge::Zero) || self.exclude_outside;
        if settles || self.is_move() && self.edge == Edge::Constant {
            return Ok((0, 0));
        }
        let len = self.len();
        let (mut before, mut after) = (0, 0);
        let mut row = Row { lo: 0, weights: reserved((self.widest() as usize).saturating_add(1))? };
        let mut see = |o: usize| {
            self.weigh(o, &mut row);
            self.settle(&mut row);
            before = before.max(row.lo.saturating_neg());
            after = after.max(row.end().saturating_sub(len));
        };
        // Positions rise, so from the first output on whose whole reach is inside nothing is before; and so behind.
        let reach = self.reach().saturating_add(1);
        let starts = self.inside().take_while(|&o| self.map.position(o).floor < reach);
        let ends = self.inside().rev().take_while(|&o| self.map.position(o).floor >= len.saturating_sub(reach));
        starts.for_each(&mut see);
        ends.for_each(&mut see);
        let found = before.saturating_add(after);
        if found > MOST_ENTRIES as i64 || found.saturating_add(len) == i64::MAX {
            return Err(Error::memory(format!(
                "elements outside an axis = {found}: at most {MOST_ENTRIES} are made beside its {} inputs",
                self.map.in_len
            )));
        }
        Ok((usize::try_from(before).unwrap_or(0), usize::try_from(after).unwrap_or(0)))
    }

    fn find_inside(&self) -> Range<usize> {
        let n = self.map.out_len;
        let first = partition(n, |o| self.side(o) == Some(false));
        first..partition(n, |o| self.side(o) != Some(true)).max(first)
    }

    /// On which side of the input an output lies that is the constant: before it (false) or behind.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    fn side(&self, o: usize) -> Option<bool> {
        if self.extrapolate {
            // A hair outside is the rounding of a position at the end.
            let p = self.map.position(o);
            let (x, hair) = (p.floor as f64 + p.frac, 1e-10 * self.map.in_len as f64);
            return if x < -hair { Some(false) } else { (x > (self.map.in_len - 1) as f64 + hair).then_some(true) };
        }
        match (self.method, self.edge) {
            (Method::Nearest(rounding), Edge::Constant | Edge::Zero) if !self.exclude_outside => {
                let i = self.map.index(o, rounding);
                if i < 0 { Some(false) } else { (i >= self.len()).then_some(true) }
            }
            _ => None,
        }
    }

    /// The input that lies at position `v`, which may be outside; none where the constant does.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    pub fn source(&self, v: i64) -> Option<usize> {
        let len = self.len();
        let i = match self.edge {
            Edge::Clamp => v.clamp(0, len - 1),
            Edge::Wrap => v.rem_euclid(len),
            Edge::Reflect => {
                let turned = v.rem_euclid(len.saturating_mul(2));
                turned.min(len.saturating_mul(2) - 1 - turned)
            }
            Edge::Mirror if len == 1 => 0,
            Edge::Mirror => {
                let turned = v.rem_euclid(2 * len - 2);
                turned.min(2 * len - 2 - turned)
            }
            Edge::Constant | Edge::Zero => v,
        };
        usize::try_from(i).ok().filter(|i| *i < self.map.in_len)
    }

    /// The linear map, from the input and its margins to the outputs [inside](Sampler::inside), or the way back.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn taps(&self, transposed: bool) -> Result<Arc<Taps>> {
        recent::table(self, transposed, || if transposed { self.made()?.transposed() } else { self.made() })
    }

    /// The [`Sampler::taps`] of the map itself, made anew.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    pub(super) fn made(&self) -> Result<Taps> {
        if self.is_move() {
            return Taps::from_picks(&self.picks()?);
        }
        let (before, after) = self.margins();
        let (inside, extended) = (self.inside(), self.map.in_len + before + after);
        let most = (self.widest() as usize).saturating_add(1);
        let total = inside.len().saturating_mul(most.min(extended));
        let mut taps = Taps::with_capacity(extended, inside.len(), total, self.map.period())?;
        let mut row = Row { lo: 0, weights: reserved(most)? };
        let mut cycle = Cycle::new(self.map.period(), inside.len(), most)?;
        for o in inside {
            if !cycle.recall(o, &mut row) {
                self.weigh(o, &mut row);
                cycle.keep(o, &row);
            }
            self.settle(&mut row);
            let start = row.lo.saturating_add(i64::try_from(before).unwrap_or(0));
            taps.push(usize::try_from(start).unwrap_or(0), &row.weights);
        }
        taps.ordered()
    }

    /// The sources of a nearest resize, as [`Sampler::taps`].
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    pub fn picks(&self) -> Result<Picks> {
        let Method::Nearest(rounding) = self.method else {
            return Picks::new(self.map.in_len, self.map.out_len, (1, 1), Some);
        };
        let (before, after) = self.margins();
        let (inside, len, shift) = (self.inside(), self.len(), i64::try_from(before).unwrap_or(0));
        let clamps = self.edge == Edge::Clamp || self.exclude_outside;
        Picks::new(self.map.in_len + before + after, inside.len(), self.map.period(), |o| {
            let i = self.map.index(inside.start + o, rounding);
            let i = if clamps { i.clamp(0, len - 1) } else { i };
            usize::try_from(i.saturating_add(shift)).ok()
        })
    }
}

/// First of `n` for which `holds` no longer holds.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "positions within the axis and its margins, whose lengths were checked"
)]
fn partition(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// The rows of one period, so that a filter is asked once for each of its phases.
struct Cycle {
    outs: usize,
    ins: usize,
    rows: Vec<(usize, Row)>,
}

/// Most weights kept.
const MOST_KEPT: usize = 1 << 16;

impl Cycle {
    /// For `n` outputs; a few are not worth it.
    fn new((outs, ins): (usize, usize), n: usize, widest: usize) -> Result<Self> {
        let worth = outs > 0 && outs < n / 8 && outs.saturating_mul(widest) <= MOST_KEPT;
        let outs = if worth { outs } else { 0 };
        Ok(Self { outs, ins, rows: reserved(outs)? })
    }

    /// Keeps the row of output `o`, which follows the last one kept.
    fn keep(&mut self, o: usize, row: &Row) {
        if self.rows.len() < self.outs {
            self.rows.push((o, Row { lo: row.lo, weights: row.weights.clone() }));
        }
    }

    /// Finds the row of output `o` in one kept, if there is one.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "positions within the axis and its margins, whose lengths were checked"
    )]
    fn recall(&self, o: usize, row: &mut Row) -> bool {
        if self.outs == 0 || self.rows.len() < self.outs {
            return false;
        }
        let (first, _) = self.rows[0];
        let (from, kept) = &self.rows[(o - first) % self.outs];
        let shift = (o - from) / self.outs * self.ins;
        row.set(kept.lo.saturating_add(i64::try_from(shift).unwrap_or(i64::MAX)), kept.weights.iter().copied());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_recalls_what_it_kept_further_on() -> Result<()> {
        let (outs, ins, first) = (3, 5, 1);
        let mut cycle = Cycle::new((outs, ins), 100, 4)?;
        let kept = |o: usize| Row { lo: o as i64 - 2, weights: vec![o as f64, 1.0] };
        let mut row = Row::default();
        for o in first..first + outs {
            assert!(!cycle.recall(o, &mut row), "{o}: not all of them are known");
            cycle.keep(o, &kept(o));
        }
        for o in first + outs..40 {
            let (turns, from) = ((o - first) / outs, first + (o - first) % outs);
            assert!(cycle.recall(o, &mut row), "{o}");
            assert_eq!(row.lo, kept(from).lo + (turns * ins) as i64, "{o}");
            assert_eq!(row.weights, kept(from).weights, "{o}");
            cycle.keep(o, &row);
        }
        assert_eq!(cycle.rows.len(), outs, "no more than a cycle");
        Ok(())
    }

    #[test]
    fn cycles_that_are_not_worth_it_keep_nothing() -> Result<()> {
        let made = |period, n, widest| -> Result<usize> {
            let mut cycle = Cycle::new(period, n, widest)?;
            for o in 0..20 {
                cycle.keep(o, &Row { lo: 0, weights: vec![1.0] });
            }
            Ok(cycle.rows.len())
        };
        assert_eq!((made((0, 0), 100, 4)?, made((12, 1), 96, 4)?, made((12, 1), 104, 4)?), (0, 0, 12));
        assert_eq!((made((16, 1), 999, MOST_KEPT / 16)?, made((16, 1), 999, MOST_KEPT / 16 + 1)?), (16, 0));
        Ok(())
    }
}
