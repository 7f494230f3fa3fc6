//! The taps of a whole row, made ready for vectors.
//!
//! The elements of a row (outputs times channels) are cut into blocks, one vector each, a lane an element; where its inputs
//! lie within one or two vectors is the same for all its taps but for a shift, so a block is a base, one index for each
//! lane, and weights. Where a row shrinks so much that two vectors do not hold the inputs of as many elements as there are
//! lanes, the last lanes stay idle; or, where picking out of two vectors takes long, two outputs of a few channels are read
//! as they lie, half a vector each. Blocks that repeat, as they do wherever the ratio is a small fraction, share index and
//! weights.
//!
//! Weights are laid out for loading; no element is gathered. (A gather takes some 40 operations on AMD.) What is held on
//! the way is one vector, so that any number of taps will do.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::element::Summed;
use crate::engine::rows::as_cells;
use crate::engine::simd::{self, Level, MOST_LANES, Pick, Run, Vectors, Weighing};
use crate::error::{Error, Result};
use crate::geometry::gcd;
use crate::geometry::taps::{Taps, reserved};

/// Blocks that a run has on average, if runs are worth their setting up.
const LONG_RUN: usize = 4;

/// What a lane without a tap has for a weight.
const NO_TAP: f64 = -0.0;

/// The taps of one axis as blocks.
#[derive(Debug)]
pub struct Blocks<T> {
    shape: Shape,
    /// Elements of an output row.
    len: usize,
    /// First input element of the row that is loaded, and which index and weights.
    blocks: Vec<(usize, u32)>,
    /// The blocks as runs, if they are few.
    runs: Vec<Run>,
    /// Blocks, and inputs, from one block of a run to the next.
    every: [usize; 2],
    entries: Vec<([u8; MOST_LANES], u32)>,
    weights: Vec<T>,
}

/// How lanes are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Channels.
    inner: usize,
    /// Lanes of a vector.
    lanes: usize,
    /// Elements of a block.
    width: usize,
    /// Vectors of weights: taps of an element.
    taps: usize,
    /// How lanes find their inputs.
    pick: Pick,
    /// Inputs that are loaded for a tap.
    window: usize,
    /// Taps in succession that are picked out of the same vectors.
    fits: usize,
}

impl Shape {
    /// Where block `b` of `len` elements begins: the last one ends with the row, and so may overlap the one before it.
    #[inline(always)]
    fn start(self, b: usize, len: usize) -> usize {
        (b * self.width).min(len - self.width)
    }

    /// Lowest and highest input element of a block's first taps.
    fn span(self, taps: &Taps, first: usize) -> Option<(usize, usize)> {
        let mut span = None;
        for o in first / self.inner..=(first + self.width - 1) / self.inner {
            let r = taps.at(o);
            if r.count > 0 {
                // The row's elements of other channels are counted too: it is one index more at most.
                let (low, high) = (r.start * self.inner, (r.start + 1) * self.inner - 1);
                span = Some(span.map_or((low, high), |(l, h): (usize, usize)| (l.min(low), h.max(high))));
            }
        }
        span
    }

    /// Most input elements from the first to the last that a block's first taps are.
    fn most(self, taps: &Taps, len: usize) -> usize {
        let span = |b: usize| self.span(taps, self.start(b, len)).map_or(0, |(low, high)| high - low + 1);
        (0..len.div_ceil(self.width)).map(span).max().unwrap_or(0)
    }

    /// This shape as the taps want it, if two vectors hold the inputs of every block.
    fn fitted(mut self, taps: &Taps, len: usize, masks: bool) -> Option<Self> {
        let most = self.most(taps, len);
        let fits = |vectors: usize| (vectors * self.lanes).checked_sub(most.max(1)).map(|room| room / self.inner + 1);
        let (one, two) = (fits(1), fits(2)?);
        let loads = |fits: usize| self.taps.div_ceil(fits);
        let from_two = match one {
            // (Without masks, picking out of two vectors takes four operations.)
            Some(one) => masks && self.taps > 4 && 2 * loads(two) < loads(one),
            None => true,
        };
        (self.pick, self.window) = if from_two { (Pick::FromTwo, 2 * self.lanes) } else { (Pick::FromOne, self.lanes) };
        self.fits = one.filter(|_| !from_two).unwrap_or(two).min(self.taps);
        Some(self)
    }

    /// The widest shape, of whole outputs where a vector holds several.
    ///
    /// (Blocks a fraction as wide, whose taps are shared out to groups of lanes, shrink images a fifth faster where there
    /// are many taps, but add in another order, and so give channels-last and channels-first arrays different last bits.)
    fn new(taps: &Taps, inner: usize, vectors: Vectors) -> Option<Self> {
        let (len, Vectors { lanes, masks, .. }) = (taps.out_len() * inner, vectors);
        let most = taps.widest().max(1);
        let of = |width: usize| Self { inner, lanes, width, taps: most, pick: Pick::FromOne, window: lanes, fits: 1 };
        let fits = |width: usize| (width <= len).then(|| of(width).fitted(taps, len, masks)).flatten();
        let full = fits(lanes);
        if full.is_some_and(|s| s.pick == Pick::FromOne) {
            return full;
        }
        if let Some(halves) = Self::halves(taps, inner, len, vectors).filter(|_| lanes == vectors.halves) {
            return Some(halves);
        }
        if full.is_some() {
            return full;
        }
        let (mut widest, mut too_wide) = (None, lanes.min(len + 1).div_ceil(inner));
        let mut outputs = 0;
        while outputs + 1 < too_wide {
            let middle = outputs.midpoint(too_wide);
            match fits(middle * inner) {
                Some(shape) => (widest, outputs) = (Some(shape), middle),
                None => too_wide = middle,
            }
        }
        // (Longer vectors, of which two hold the inputs of four outputs, pick as fast; of five, a third faster.)
        let few = outputs < 4;
        Self::halves(taps, inner, len, vectors).filter(|_| few).or(widest)
    }

    /// Two outputs of three or four channels in halves of a vector: a load, a load into the upper half and a product for each
    /// tap. Picked out of two vectors, as many take twice as long.
    fn halves(taps: &Taps, inner: usize, len: usize, Vectors { halves: lanes, .. }: Vectors) -> Option<Self> {
        let fits = lanes > 0 && 2 * inner <= lanes && 2 * inner + 2 >= lanes && 2 * inner <= len;
        let (width, widest) = (2 * inner, taps.widest().max(1));
        let both = Self { inner, lanes, width, taps: widest, pick: Pick::Halves, window: lanes, fits: 1 };
        fits.then(|| Self { window: lanes / 2 + both.most(taps, len).saturating_sub(inner), ..both })
    }

    /// Whether a block is less work than its elements one by one.
    fn pays(self) -> bool {
        4 + self.taps * if self.pick == Pick::FromTwo { 4 } else { 3 } < self.width * (4 + self.taps)
    }

    /// The lane of an element of a block.
    fn lane(self, element: usize) -> usize {
        match self.pick {
            Pick::Halves => element / self.inner * (self.lanes / 2) + element % self.inner,
            Pick::FromOne | Pick::FromTwo => element,
        }
    }
}

impl<T: Summed> Blocks<T> {
    /// The taps of a row of `inner` channels, weights times `scale`, for vectors of the current level; nothing where it has
    /// none, or where the channels fill vectors by themselves.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn new(taps: &Taps, inner: usize, scale: f64) -> Result<Option<Self>> {
        let vectors = simd::weighing::<T>();
        let Vectors { lanes, masks, .. } = vectors;
        // Of a single input there is nothing to pick: each output is a multiple of it.
        if lanes == 0 || inner == 0 || inner > lanes || taps.out_len() == 0 || taps.in_len() == 1 {
            return Ok(None);
        }
        let Some(shape) = Shape::new(taps, inner, vectors).filter(|s| s.pays()) else { return Ok(None) };
        let masks = masks && shape.pick != Pick::Halves;
        let (len, width) = (taps.out_len() * inner, shape.width);
        let n = len.div_ceil(width);
        // Blocks repeat when a whole number of them is a whole number of repetitions of the taps.
        let (outs, ins) = taps.period_hint();
        let period = outs * inner;
        let repeat = if period == 0 { n } else { period / gcd(period, width) };
        let every = [repeat, (repeat * width).checked_div(period).map_or(0, |n| n * ins * inner)];
        let (blocks, runs) = (reserved(n)?, Vec::new());
        let mut all = Self { shape, len, blocks, runs, every, entries: Vec::new(), weights: Vec::new() };
        let mut run_of = reserved::<usize>(n)?;
        for b in 0..n {
            let first = shape.start(b, len);
            let base = shape.span(taps, first).map_or(0, |(low, _)| low);
            let before = b.checked_sub(repeat).filter(|&p| {
                let (before, held) = (shape.start(p, len), all.blocks[p].0);
                first == b * width && base == held + every[1] && all.same(taps, (before, held), (first, base))
            });
            let entry = match before {
                Some(p) => {
                    run_of.push(run_of[p]);
                    all.runs[run_of[p]].count += 1;
                    all.blocks[p].1
                }
                None => {
                    let entry = all.add(taps, first, base, scale)?;
                    run_of.push(all.runs.len());
                    all.runs.try_reserve(1).map_err(|_| Error::memory("cannot allocate a table of runs"))?;
                    all.runs.push(Run { block: b, base, count: 1, entry });
                    entry
                }
            };
            all.blocks.push((base, entry));
        }
        // (Without masks a block's idle lanes are written too, and the next one must be made after it.)
        if all.runs.len() * LONG_RUN > n || !(masks || width == shape.lanes || repeat == 1) {
            all.runs.clear();
        }
        Ok(Some(all))
    }

    /// Whether two blocks, of which the first element and the base are given, are the same but for the base.
    fn same(&self, taps: &Taps, (first, base): (usize, usize), (later, later_base): (usize, usize)) -> bool {
        let Shape { inner, width, .. } = self.shape;
        let outs = |first: usize| first / inner..(first + width - 1) / inner + 1;
        outs(first).zip(outs(later)).all(|(o, p)| {
            let (a, b) = (taps.at(o), taps.at(p));
            a.start * inner + later_base == b.start * inner + base && taps.weights(o) == taps.weights(p)
        })
    }

    /// Writes down the index and the weights of a block.
    fn add(&mut self, taps: &Taps, first: usize, base: usize, scale: f64) -> Result<u32> {
        let Shape { inner, lanes, width, taps: n, pick, .. } = self.shape;
        let mut index = [0; MOST_LANES];
        let mut full = n;
        let at = self.weights.len();
        let no_memory = |_| Error::memory(format!("cannot allocate a table of {n} vectors"));
        self.weights.try_reserve(n * lanes).map_err(no_memory)?;
        self.weights.resize(at + n * lanes, T::weight(NO_TAP));
        let table = &mut self.weights[at..];
        for element in 0..width {
            let (o, channel, lane) = ((first + element) / inner, (first + element) % inner, self.shape.lane(element));
            let r = taps.at(o);
            if r.count > 0 && pick != Pick::Halves {
                // Below two vectors: `Shape::fitted` has looked.
                index[lane] = (r.start * inner + channel - base) as u8;
            } else if r.count > 0 && channel == 0 {
                // Where the second output's inputs begin: it comes last.
                let delta = u32::try_from(r.start * inner - base).map_err(|_| Error::memory("inputs too far apart"))?;
                index[..4].copy_from_slice(&delta.to_ne_bytes());
            }
            for (k, w) in taps.weights(o).iter().enumerate() {
                table[k * lanes + lane] = T::weight(*w * scale + 0.0); // a weight of minus zero is one of zero
            }
            full = full.min(r.count);
        }
        self.entries.try_reserve(1).map_err(no_memory)?;
        self.entries.push((index, full as u32)); // as many as fit into memory, several bytes each
        Ok(self.entries.len() as u32 - 1)
    }

    /// What a level is to do for these blocks.
    #[inline(always)]
    fn weighing(&self, made: Range<usize>) -> Weighing<'_, T> {
        let Self { blocks, runs, every, entries, weights, .. } = self;
        let Shape { taps, pick, window, fits, width, .. } = self.shape;
        Weighing {
            blocks,
            made,
            runs,
            every: *every,
            entries,
            weights,
            taps,
            step: self.shape.inner,
            pick,
            window,
            fits,
            width,
        }
    }

    /// Elements of scratch that [`Blocks::across`] wants.
    #[must_use]
    pub fn scratch(&self) -> usize {
        2 * self.weighing(0..0).loaded()
    }

    /// Takes outputs `cols` of a row across; `src` begins at input `from`. `single` computes one output element. Returns
    /// whether it did: not if the table was made for another level.
    #[inline(always)]
    pub fn across<L: Level>(
        &self,
        level: L,
        (src, from): (&[Cell<T>], usize),
        cols: &Range<usize>,
        single: impl Fn(usize) -> T,
        end: &mut [T],
        dst: &mut [MaybeUninit<T>],
    ) -> bool {
        let Shape { inner, lanes, width, pick, .. } = self.shape;
        let vectors = L::vectors(size_of::<T>());
        if lanes != if pick == Pick::Halves { vectors.halves } else { vectors.lanes } {
            return false;
        }
        let (from, elements) = (from * inner, cols.start * inner..cols.end * inner);
        // Whole blocks, and the last of the row, which may overlap the one before it.
        let first = elements.start.div_ceil(width).min(elements.end / width);
        let mut blocks = first..elements.end / width;
        let mut done = first * width..blocks.end * width;
        if elements.end == self.len && !blocks.is_empty() {
            (blocks.end, done.end) = (self.blocks.len(), self.len);
        }
        if blocks.is_empty() {
            done = elements.end..elements.end;
        } else {
            let what = self.weighing(blocks);
            // Blocks near the end of the row read a copy of it that goes on for long enough.
            let held = src.len().saturating_sub(what.loaded());
            for (to, v) in end.iter_mut().zip(&src[held..]) {
                *to = v.get();
            }
            let made = &mut dst[done.start - elements.start..done.end - elements.start];
            level.weigh(&what, [(src, from), (as_cells(end), from + held)], made);
        }
        for e in (elements.start..done.start).chain(done.end..elements.end) {
            dst[e - elements.start].write(single(e));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Ring;
    use crate::engine::rows::{List, as_uninit};
    use crate::engine::simd::Isa;
    use crate::geometry::coords::{AxisMap, Rule};
    use crate::geometry::filter::Filter;
    use crate::geometry::sampler::{Method, Outside, Sampler};
    use crate::kernels::resample::{Across, Weighted};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Takes a row across for some of its columns, with blocks; `None` where the level has none for this row.
    fn across<T: Summed>(
        taps: &Taps,
        inner: usize,
        scale: f64,
        row: &[T],
        cols: Range<usize>,
    ) -> Result<Option<Vec<T>>> {
        let Some(blocks) = Blocks::<T>::new(taps, inner, scale)? else { return Ok(None) };
        let weights: Vec<T> = taps.all_weights().iter().map(|w| T::weight(w * scale)).collect();
        let ins = taps.inputs(cols.clone());
        let mut src = row[ins.start * inner..ins.end * inner].to_vec();
        let mut end = vec![T::default(); blocks.scratch()];
        let mut dst = vec![T::weight(77.0); cols.len() * inner];
        let rows = List::one(as_cells(&mut src));
        let taps = Weighted { taps, weights: &weights, period: None, blocks: Some(&blocks) };
        simd::dispatch(Across {
            taps,
            rows,
            from: ins.start,
            cols: &cols,
            inner,
            end: &mut end,
            dst: as_uninit(&mut dst),
        });
        Ok(Some(dst))
    }

    /// The same, one plain sum after the other.
    fn plainly(taps: &Taps, inner: usize, row: &[f64], cols: Range<usize>) -> Vec<f64> {
        let mut sums = Vec::new();
        for o in cols {
            for c in 0..inner {
                let start = taps.at(o).start;
                sums.push(taps.weights(o).iter().enumerate().map(|(k, w)| w * row[(start + k) * inner + c]).sum());
            }
        }
        sums
    }

    fn taps_of(in_len: usize, out_len: usize, rule: Rule, kind: u8) -> Result<Arc<Taps>> {
        let made = |in_len, out_len, antialias, transposed| {
            let method =
                Method::Filtered { filter: if kind < 3 { Filter::Linear } else { Filter::Lanczos(3) }, antialias };
            Sampler::new(AxisMap { in_len, out_len, rule }, method, Outside::default())?.taps(transposed)
        };
        match kind {
            0 | 3 => made(in_len, out_len, false, false),
            1 | 4 => made(in_len, out_len, true, false),
            2 | 5 => made(out_len, in_len, true, true),
            _ => made(out_len, in_len, false, true), // some outputs have no taps at all
        }
    }

    proptest! {
        #[test]
        fn blocks_make_plain_sums(
            in_len in 1usize..200,
            out_len in 1usize..200,
            inner in 1usize..18,
            corners in any::<bool>(),
            kind in 0u8..7,
            isa in 0usize..3,
            cut in any::<(u16, u16)>(),
            seed in any::<u32>(),
        ) {
            simd::force(Some(Isa::ALL[isa]));
            let rule = if corners { Rule::AlignCorners } else { Rule::HalfPixel };
            let taps = taps_of(in_len, out_len, rule, kind).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let n = taps.inputs(0..taps.out_len()).end;
            let row: Vec<f64> = (0..n * inner).map(|i| f64::from((i as u32).wrapping_mul(2_654_435_761) ^ seed) / 4e9).collect();
            let (a, b) = (cut.0 as usize % (taps.out_len() + 1), cut.1 as usize % (taps.out_len() + 1));
            for cols in [0..taps.out_len(), a.min(b)..a.max(b)] {
                let want = plainly(&taps, inner, &row, cols.clone());
                let singles: Vec<f32> = row.iter().map(|v| *v as f32).collect();
                let got = across::<f64>(&taps, inner, 1.0, &row, cols.clone());
                for (got, want) in got.ok().flatten().into_iter().flatten().zip(&want) {
                    prop_assert!((got - want).abs() < 1e-12, "{got} {want}");
                }
                let got = across::<f32>(&taps, inner, 1.0, &singles, cols);
                for (got, want) in got.ok().flatten().into_iter().flatten().zip(&want) {
                    prop_assert!((f64::from(got) - want).abs() < 1e-4, "{got} {want}");
                }
            }
            simd::force(None);
        }

        #[test]
        fn blocks_of_16_bits_make_plain_sums(
            in_len in 1usize..200,
            times in 0u32..3,
            shrink in any::<bool>(),
            inner in 1usize..34,
            isa in 0usize..3,
            seed in any::<u32>(),
        ) {
            simd::force(Some(Isa::ALL[isa]));
            let long = in_len << times;
            let (from, to) = if shrink { (long, in_len) } else { (in_len, long) };
            let taps = taps_of(from, to, Rule::HalfPixel, 0).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let row: Vec<i16> = (0..from * inner).map(|i| ((i as u32).wrapping_mul(2_654_435_761) ^ seed) as i16 >> 8).collect();
            let weights: Vec<i16> = taps.all_weights().iter().map(|w| i16::weight(w * 8.0)).collect();
            let got = across::<i16>(&taps, inner, 8.0, &row, 0..to).ok().flatten();
            for (e, got) in got.into_iter().flatten().enumerate() {
                let (o, c) = (e / inner, e % inner);
                let (r, w) = (taps.at(o), &weights[taps.offset(o)..]);
                let want = (0..r.count).fold(0, |sum, k| i16::mul_add::<false>(w[k], row[(r.start + k) * inner + c], sum));
                prop_assert_eq!(got, want);
            }
            simd::force(None);
        }
    }

    /// NaN and infinity stay out of the lanes that have no such tap.
    #[test]
    fn what_has_no_weight_is_not_read() -> Result<()> {
        for (in_len, out_len) in [(40, 80), (40, 60), (100, 21), (64, 17), (33, 34), (90, 30)] {
            let taps = taps_of(in_len, out_len, Rule::HalfPixel, 1)?;
            for inner in 1..6 {
                for i in 0..in_len {
                    let mut row = vec![1f32; in_len * inner];
                    row[i * inner] = f32::INFINITY;
                    let Some(got) = across(&taps, inner, 1.0, &row, 0..out_len)? else { continue };
                    for (e, v) in got.into_iter().enumerate() {
                        let (o, c) = (e / inner, e % inner);
                        let read = c == 0 && (taps.at(o).start..taps.at(o).end()).contains(&i);
                        assert!(
                            if read { v == f32::INFINITY } else { (v - 1.0).abs() < 1e-5 },
                            "{in_len} {out_len} {e}: {v}"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}
