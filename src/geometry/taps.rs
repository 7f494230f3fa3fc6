//! What each output position of one axis reads: weighted taps (linear maps) or at most one source (moves).
//!
//! A linear map's backward is the same kernel on [`Taps::transposed`].

use std::ops::Range;

use super::Reach;
use crate::error::{Error, Result};

/// A stretch of outputs whose taps repeat: those of `o + outs` are those of `o`, `ins` further along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Outputs per repetition.
    pub outs: usize,
    /// Inputs per repetition.
    pub ins: usize,
    /// The outputs this holds for; a whole number of repetitions.
    pub range: Range<usize>,
}

impl Period {
    /// The whole repetitions that lie within `cols`.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn within(&self, cols: &Range<usize>) -> Range<usize> {
        let start = self.range.start.clamp(cols.start, cols.end);
        let n = self.range.end.min(cols.end).saturating_sub(start);
        // Asked for every row: by a constant where that is likely, for a division takes as long as a short row.
        let whole = match self.outs {
            1 => n,
            2 => n / 2 * 2,
            3 => n / 3 * 3,
            4 => n / 4 * 4,
            outs => n / outs * outs,
        };
        start..start + whole
    }
}

/// Longest period worth a kernel of its own.
const MAX_PERIOD: usize = 8;

/// Longest stretch in which `same(o)` (outputs `o` and `o + outs` agree) holds throughout.
#[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
fn find_period(out_len: usize, (outs, ins): (usize, usize), same: impl Fn(usize) -> bool) -> Option<Period> {
    if !(1..=MAX_PERIOD).contains(&outs) || !(1..=MAX_PERIOD).contains(&ins) {
        return None;
    }
    let (mut best, mut from) = (0..0, 0);
    for o in 0..out_len.saturating_sub(outs) {
        if !same(o) {
            from = o + 1;
        } else if o + 1 - from > best.len() {
            best = from..o + 1;
        }
    }
    let whole = (best.len() + outs) / outs * outs;
    (whole >= 4 * outs).then(|| Period { outs, ins, range: best.start..best.start + whole })
}

/// Most outputs, and most weights, of a table: more would take longer to make than anyone waits, and some systems hand
/// out memory they do not have.
pub(crate) const MOST_ENTRIES: usize = 1 << 29;

/// Vectors that refuse instead of aborting when memory runs out.
pub(crate) fn reserved<T>(n: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(n).map_err(|_| Error::memory(format!("cannot allocate a table of {n} entries")))?;
    Ok(v)
}

/// Puts the items behind those of `v`, refusing instead of aborting when memory runs out.
pub(crate) fn append<T>(v: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Result<()> {
    let items = items.into_iter();
    let no_memory = |_| Error::memory("cannot allocate the entries of a table");
    v.try_reserve(items.size_hint().0).map_err(no_memory)?;
    for item in items {
        v.try_reserve(1).map_err(no_memory)?;
        v.push(item);
    }
    Ok(())
}

/// Weighted, contiguous taps, whose starts and ends never decrease: output `o` is the sum of `weights(o)[j] * input[start + j]`.
///
/// A weight of exactly zero at either end is left out, so the input there is never read.
#[derive(Debug, Clone, PartialEq)]
pub struct Taps {
    in_len: usize,
    starts: Vec<usize>,
    offsets: Vec<usize>,
    weights: Vec<f64>,
    period_hint: (usize, usize),
}

impl Taps {
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub(crate) fn with_capacity(
        map_in: usize,
        out_len: usize,
        weights: usize,
        period_hint: (usize, usize),
    ) -> Result<Self> {
        let mut offsets = reserved(out_len + 1)?;
        offsets.push(0);
        Ok(Self { in_len: map_in, starts: reserved(out_len)?, offsets, weights: reserved(weights)?, period_hint })
    }

    /// Appends one output, trimming zero weights at the ends.
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub(crate) fn push(&mut self, start: usize, weights: &[f64]) {
        let lead = weights.iter().take_while(|w| **w == 0.0).count();
        let kept = &weights[lead..];
        let kept = &kept[..kept.len() - kept.iter().rev().take_while(|w| **w == 0.0).count()];
        let nowhere = self.starts.last().copied().unwrap_or(0);
        self.starts.push(if kept.is_empty() { nowhere } else { start + lead });
        self.weights.extend_from_slice(kept);
        self.offsets.push(self.weights.len());
    }

    /// The same map with starts and ends that never decrease: outputs whose zero weights were trimmed, where a filter
    /// crosses zero, get some of them back.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub(crate) fn ordered(self) -> Result<Self> {
        let n = self.out_len();
        if (1..n).all(|o| self.starts[o - 1] <= self.starts[o] && self.at(o - 1).end() <= self.at(o).end()) {
            return Ok(self);
        }
        let (mut starts, mut ends) = (reserved(n)?, reserved(n)?);
        starts.extend_from_slice(&self.starts);
        (1..n).rev().for_each(|o| starts[o - 1] = starts[o - 1].min(starts[o]));
        let mut end = 0;
        for (o, &start) in starts.iter().enumerate() {
            let r = self.at(o);
            end = r.end().max(end); // (one that reads nothing lies where the one before begins)
            ends.push(if r.count > 0 { end } else { start });
        }
        let total = starts.iter().zip(&ends).fold(0usize, |sum, (s, e)| sum.saturating_add(e - s));
        let mut wide = Self::with_capacity(self.in_len, n, total, self.period_hint)?;
        for o in 0..n {
            let base = wide.weights.len();
            wide.weights.resize(base + (ends[o] - starts[o]), 0.0);
            let weights = self.weights(o);
            if !weights.is_empty() {
                wide.weights[base + (self.starts[o] - starts[o])..][..weights.len()].copy_from_slice(weights);
            }
            wide.starts.push(starts[o]);
            wide.offsets.push(wide.weights.len());
        }
        Ok(wide)
    }

    /// Numbers it consists of.
    pub(super) fn entries(&self) -> usize {
        self.starts.len().saturating_add(self.offsets.len()).saturating_add(self.weights.len())
    }

    /// Each output copies the input at its place.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn same(len: usize) -> Result<Self> {
        let mut taps = Self::with_capacity(len, len, len, (1, 1))?;
        taps.starts.extend(0..len);
        taps.offsets.extend(1..=len);
        taps.weights.resize(len, 1.0);
        Ok(taps)
    }

    /// Each output copies one input: the linear map of a move.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn from_picks(picks: &Picks) -> Result<Self> {
        let n = picks.out_len();
        let mut taps = Self::with_capacity(picks.in_len, n, n, picks.period_hint)?;
        for o in 0..n {
            match picks.at(o) {
                Some(i) => taps.push(i, &[1.0]),
                None => taps.push(0, &[]),
            }
        }
        Ok(taps)
    }

    /// Each output is the plain sum of its inputs, which are neighbours.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn sums(in_len: usize, reaches: &[Reach], period_hint: (usize, usize)) -> Result<Self> {
        let total = reaches.iter().fold(0usize, |n, r| n.saturating_add(r.count));
        let mut taps = Self::with_capacity(in_len, reaches.len(), total, period_hint)?;
        for r in reaches {
            debug_assert!(r.step == 1, "neighbours");
            taps.starts.push(r.start);
            taps.weights.resize(taps.weights.len() + r.count, 1.0);
            taps.offsets.push(taps.weights.len());
        }
        Ok(taps)
    }

    /// The transposed map. The outputs that read one input are contiguous, because starts and ends never decrease.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn transposed(&self) -> Result<Self> {
        let (outs, ins) = self.period_hint;
        let mut back = Self::with_capacity(self.out_len(), self.in_len, self.weights.len(), (ins, outs))?;
        let (mut first, mut row) = (0, Vec::new());
        for i in 0..self.in_len {
            while first < self.out_len() && self.at(first).end() <= i {
                first += 1;
            }
            row.clear();
            for o in first..self.out_len() {
                let r = self.at(o);
                if r.start > i {
                    break;
                }
                row.push(if i < r.end() { self.weights(o)[i - r.start] } else { 0.0 });
            }
            back.push(first, &row);
        }
        back.ordered()
    }

    /// Number of outputs.
    #[must_use]
    pub fn out_len(&self) -> usize {
        self.starts.len()
    }

    /// Inputs of output `o`.
    #[inline]
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn at(&self, o: usize) -> Reach {
        Reach { start: self.starts[o], count: self.offsets[o + 1] - self.offsets[o], step: 1 }
    }

    /// Weights of output `o`.
    #[inline]
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn weights(&self, o: usize) -> &[f64] {
        &self.weights[self.offsets[o]..self.offsets[o + 1]]
    }

    /// All weights, output after output.
    #[must_use]
    pub fn all_weights(&self) -> &[f64] {
        &self.weights
    }

    /// Where output `o`'s weights begin in [`Taps::all_weights`].
    #[inline]
    #[must_use]
    pub fn offset(&self, o: usize) -> usize {
        self.offsets[o]
    }

    /// Whether every output is the input at the same place.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.out_len() == self.in_len && (0..self.in_len).all(|o| self.starts[o] == o && self.weights(o) == [1.0])
    }

    /// The input range that a range of outputs reads. Starts and ends never decrease, so the first and the last output
    /// that read anything decide.
    #[must_use]
    pub fn inputs(&self, mut out: Range<usize>) -> Range<usize> {
        let reads = |o: &usize| self.at(*o).count > 0;
        let Some(first) = out.clone().find(reads) else { return 0..0 };
        let last = out.rfind(reads).unwrap_or(first);
        self.at(first).start..self.at(last).end()
    }

    /// The taps of some outputs alone, in an axis that has nothing but `held`, which are the inputs they read, or more.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn part(&self, outs: &Range<usize>, held: &Range<usize>) -> Result<Self> {
        let (first, end) = (self.offsets[outs.start], self.offsets[outs.end]);
        let mut part = Self::with_capacity(held.len(), outs.len(), end - first, self.period_hint)?;
        // (Where nothing is read, a start is only a number that does not decrease.)
        part.starts.extend(self.starts[outs.clone()].iter().map(|s| s.clamp(&held.start, &held.end) - held.start));
        part.offsets.extend(self.offsets[outs.start + 1..=outs.end].iter().map(|o| o - first));
        part.weights.extend_from_slice(&self.weights[first..end]);
        Ok(part)
    }

    /// Number of inputs.
    #[must_use]
    pub fn in_len(&self) -> usize {
        self.in_len
    }

    /// Most inputs any one output reads.
    #[must_use]
    pub fn widest(&self) -> usize {
        (0..self.out_len()).map(|o| self.at(o).count).max().unwrap_or(0)
    }

    /// Outputs and inputs after which the taps may repeat, shifted; 0 where they do not.
    #[must_use]
    pub fn period_hint(&self) -> (usize, usize) {
        self.period_hint
    }

    /// The stretch whose taps repeat, if it is worth a kernel of its own.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn period(&self) -> Option<Period> {
        let (outs, ins) = self.period_hint;
        find_period(self.out_len(), self.period_hint, |o| {
            self.starts[o + outs] == self.starts[o] + ins && self.weights(o + outs) == self.weights(o)
        })
    }
}

/// At most one source for each output: the map of a move. An output without a source is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picks {
    in_len: usize,
    sources: Vec<usize>,
    period_hint: (usize, usize),
    /// Whether sources never decrease.
    ordered: bool,
}

const NOTHING: usize = usize::MAX;

impl Picks {
    /// `source(o)` for each of `out_len` outputs.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn new(
        in_len: usize,
        out_len: usize,
        period_hint: (usize, usize),
        source: impl Fn(usize) -> Option<usize>,
    ) -> Result<Self> {
        let mut sources = reserved(out_len)?;
        let (mut ordered, mut last) = (true, 0);
        sources.extend((0..out_len).map(|o| {
            let Some(i) = source(o).filter(|&i| i < in_len) else { return NOTHING };
            ordered &= i >= last;
            last = i;
            i
        }));
        Ok(Self { in_len, sources, period_hint, ordered })
    }

    /// Number of inputs.
    #[must_use]
    pub fn in_len(&self) -> usize {
        self.in_len
    }

    /// Outputs and inputs after which the sources may repeat, shifted.
    #[must_use]
    pub fn period_hint(&self) -> (usize, usize) {
        self.period_hint
    }

    /// Number of outputs.
    #[must_use]
    pub fn out_len(&self) -> usize {
        self.sources.len()
    }

    /// Source of output `o`.
    #[inline]
    #[must_use]
    pub fn at(&self, o: usize) -> Option<usize> {
        let i = self.sources[o];
        (i != NOTHING).then_some(i)
    }

    /// The input range that a range of outputs reads.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn inputs(&self, mut out: Range<usize>) -> Range<usize> {
        if !self.ordered {
            let sources = || out.clone().filter_map(|o| self.at(o));
            return sources().min().map_or(0..0, |first| first..sources().max().unwrap_or(first) + 1);
        }
        let Some(first) = out.clone().find_map(|o| self.at(o)) else { return 0..0 };
        let last = out.rfind(|o| self.at(*o).is_some()).and_then(|o| self.at(o));
        first..last.unwrap_or(first) + 1
    }

    /// The sources of some outputs alone, in an axis that has nothing but `held`, which are those sources, or more.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn part(&self, outs: &Range<usize>, held: &Range<usize>) -> Result<Self> {
        let source = |o: usize| self.at(outs.start.saturating_add(o))?.checked_sub(held.start);
        Self::new(held.len(), outs.len(), self.period_hint, source)
    }

    /// The stretch whose sources repeat, if it is worth a kernel of its own.
    #[must_use]
    #[allow(clippy::arithmetic_side_effects, reason = "offsets within tables whose lengths were checked and allocated")]
    pub fn period(&self) -> Option<Period> {
        let (outs, ins) = self.period_hint;
        find_period(self.out_len(), self.period_hint, |o| match (self.at(o), self.at(o + outs)) {
            (Some(a), Some(b)) => b == a + ins,
            (None, None) => true,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The weights of each output at every input.
    fn dense(taps: &Taps) -> Vec<Vec<f64>> {
        let row = |o: usize| {
            let mut row = vec![0.0; taps.in_len];
            row[taps.starts[o]..taps.at(o).end()].copy_from_slice(taps.weights(o));
            row
        };
        (0..taps.out_len()).map(row).collect()
    }

    fn is_ordered(taps: &Taps) -> bool {
        let ends = (0..taps.out_len()).filter(|o| taps.at(*o).count > 0).map(|o| taps.at(o).end());
        taps.starts.is_sorted() && ends.is_sorted()
    }

    #[test]
    fn what_is_put_in_order_reads_the_same() -> Result<()> {
        let rows = (0..5).flat_map(|start| (0..4).map(move |count| (start, count)));
        let all = || rows.clone();
        for rows in all().flat_map(|a| all().flat_map(move |b| all().map(move |c| [a, b, c]))) {
            let mut taps = Taps::with_capacity(8, 3, 9, (1, 1))?;
            for (o, (start, count)) in rows.into_iter().enumerate() {
                let weights: Vec<f64> = (1..=count).map(|i| (10 * o + i) as f64).collect();
                taps.push(start, &weights);
            }
            let (before, was, memory) = (dense(&taps), is_ordered(&taps), taps.weights.as_ptr());
            let counts: Vec<_> = (0..3).map(|o| taps.at(o).count).collect();
            let made = taps.ordered()?;
            assert!(dense(&made) == before && is_ordered(&made), "{rows:?}: {made:?}");
            assert!((0..3).all(|o| (made.at(o).count == 0) == (counts[o] == 0)), "{rows:?}: {made:?}");
            let kept = made.weights.as_ptr() == memory;
            assert!(!kept || was, "{rows:?}");
            assert!(kept || made.weights.capacity() == made.weights.len(), "{rows:?}: {made:?}");
            assert!(kept || !was || counts.contains(&0), "{rows:?}: what is in order stays as it is");
        }
        Ok(())
    }

    #[test]
    fn tables_have_room_for_what_is_said_to_come() -> Result<()> {
        let mut taps = Taps::with_capacity(9, 6, 12, (1, 1))?;
        let memory = |t: &Taps| (t.starts.as_ptr(), t.offsets.as_ptr(), t.weights.as_ptr());
        let before = memory(&taps);
        (0..6).for_each(|o| taps.push(o, &[1.0, 2.0]));
        assert_eq!(memory(&taps), before);
        assert!(taps.starts.capacity() >= 6 && taps.offsets.capacity() > 6 && taps.weights.capacity() >= 12);
        Ok(())
    }
}
