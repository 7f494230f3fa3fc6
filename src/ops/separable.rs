//! Weighted sums along W, H and D, whatever the weights.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use crate::element::{Codec, Linear, Rounding, Summed};
use crate::engine::pipeline::{self, InRow, Kernel, OutRow, OutRows, Through, Way};
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{Finish, List, Rows, RowsMut, as_uninit};
use crate::engine::simd::{self, Level};
use crate::error::Result;
use crate::geometry::Reach;
use crate::geometry::taps::{Period, Taps, reserved};
use crate::kernels::blocks::Blocks;
use crate::kernels::resample::{self, Down, Held, STREAMED_ROWS, Weighted};
use crate::layout::{Grid, STREAMED_BYTES};
use crate::ops::planes::side_by_side;
use crate::ops::precision;

/// Longest rows of which many planes are better side by side: see [`side_by_side`]. (14 x 14 doubled took 1.85 ms for 200,000
/// elements as they were and 0.38 side by side, 28 x 28 0.55 either way.)
const NARROW: usize = 44;

/// Taps along D, H and W.
pub struct Tables {
    /// Of the outputs that are wanted.
    pub taps: [Arc<Taps>; 3],
    /// Of all outputs, if those are more. They decide how sums are made, so that a part of the outputs has the same.
    pub whole: Option<[Arc<Taps>; 3]>,
}

impl Tables {
    fn deciding(&self) -> [&Taps; 3] {
        [0, 1, 2].map(|a| self.whole.as_ref().map_or(&*self.taps[a], |w| &*w[a]))
    }
}

/// Sums of integers or of floats by these taps along D, H and W: in the narrowest type that gives the right result.
///
/// # Errors
/// If a table or scratch cannot be allocated, or the caller interrupts.
pub fn run<T: Linear>(taps: &Tables, rounding: Rounding, x: Grid<*const T>, out: Grid<*mut T>) -> Result<()> {
    if let Some(largest) = T::NARROW.filter(|_| T::SHORT && simd::weighing::<T::ShortSum>().lanes > 0)
        && let Some(scale) = precision::in_16_bits(taps.deciding(), largest)
    {
        let codec = T::short_codec(rounding, scale.iter().product::<f64>().log2() as u32);
        return run_between(taps, (scale, true), x, out, codec, codec);
    }
    if let Some(precision) = T::NARROW.and_then(|largest| precision::in_float32(taps.deciding(), largest)) {
        let codec = T::narrow_codec(rounding, precision);
        return run_between(taps, ([1.0; 3], true), x, out, codec, codec);
    }
    let codec = T::sum_codec(rounding);
    run_between(taps, PLAINLY, x, out, codec, codec)
}

/// What the weights along D, H and W are multiplied by, and whether results are those of exact sums, in whatever order.
pub type How = ([f64; 3], bool);

/// The weights as they are, in an order that shows.
pub const PLAINLY: How = ([1.0; 3], false);

/// Sums by these taps along D, H and W, from one type of array to another.
///
/// # Errors
/// As [`run`].
pub fn run_between<I, O>(
    tables: &Tables,
    how: How,
    x: Grid<*const I::Stored>,
    out: Grid<*mut O::Stored>,
    load: I,
    store: O,
) -> Result<()>
where
    I: Codec<Computed: Summed>,
    O: Codec<Computed = I::Computed>,
{
    if side_by_side(&x.bare(), &[out.bare()], NARROW, &|x, made| {
        run_grids(tables, how, x.grid(), made[0].grid(), load, store)
    })? {
        return Ok(());
    }
    run_grids(tables, how, x, out, load, store)
}

#[inline(never)] // it is called twice
fn run_grids<I, O>(
    tables: &Tables,
    (scale, exact): How,
    x: Grid<*const I::Stored>,
    out: Grid<*mut O::Stored>,
    load: I,
    store: O,
) -> Result<()>
where
    I: Codec<Computed: Summed>,
    O: Codec<Computed = I::Computed>,
{
    let [d, h, _] = x.spatial;
    let rows = x.blocks().saturating_mul(d).saturating_mul(h);
    let made = out.spatial.iter().fold(out.blocks().saturating_mul(out.inner), |n, len| n.saturating_mul(*len));
    let large = made.saturating_mul(size_of::<O::Stored>()) >= STREAMED_BYTES;
    let kernel = Resampling::<I::Computed>::new(tables, scale, x.inner, (rows, large, exact))?;
    pipeline::run(&kernel, &Through { kernel: &kernel, load, store, x, out })
}

/// What a tap across costs, in taps down, of rows that are read where they lie: its inputs must be picked.
const ACROSS: usize = 2;

/// Whether folding the rows of each output row and taking the result across is less work than taking every row across and
/// folding what comes of it. Where small elements are folded as they are `stored`, a tap down reads a part of the memory that rows
/// take which have gone across, a tap across costs no more, and no row must be converted first. (Doubling colour images of 8 bits
/// takes nine tenths of the time; planes of one channel go across in phases, and take a tenth longer folded first.)
fn folding_is_cheaper(taps: [&Taps; 3], stored: bool) -> bool {
    let [d, h, w] = taps;
    let used = |t: &Taps| t.inputs(0..t.out_len()).len();
    let down = d.widest() * h.widest();
    let across = w.out_len() * w.widest() * if stored { 1 } else { ACROSS };
    let (rows, made) = (used(d) * used(h), d.out_len() * h.out_len());
    let converted = if stored { rows * used(w) } else { 0 };
    made * (used(w) * down + across) < converted + rows * across + made * w.out_len() * down
}

/// Products across that take no longer one by one than the table for vectors takes to make.
const FEW_PRODUCTS: usize = 128;

/// Bytes of an output row that is not worth steps of its own: it is made in a band of them. (Rows of 128 doubled took 142 ns
/// for each of the input, half of it for the steps.)
const SHORT_ROW: usize = 4 << 10;

/// Most input rows of an output row in a band.
const FEW_ROWS: usize = 8;

/// Input rows of a band, for each that the next one reads too.
const ROWS_OF_BAND: usize = 32;

/// Input rows that go across at once, but for one, where a large result is written where it lies.
const ROWS_AHEAD: usize = 1;

/// Bytes of rows that go across at once.
const BYTES_ACROSS: usize = 4 << 10;

/// Memory of a thread.
struct Scratch<S> {
    /// The weights of an output row.
    weights: Vec<S>,
    /// What the blocks want.
    end: Room<S>,
    /// Rows that have gone across, for [`Way::Band`].
    ring: Room<S>,
}

/// Weighted sums along W, then down D and H.
struct Resampling<'a, S> {
    taps: &'a [Arc<Taps>; 3],
    weights: Vec<S>,
    period: Option<Period>,
    /// The taps along W for vectors.
    blocks: Option<Blocks<S>>,
    /// The weights along H in the type of the sum, if nothing happens along D.
    flat: Option<Vec<S>>,
    /// Most inputs one output reads along W.
    reach: usize,
    /// Whether rows are folded before they go across.
    folds: bool,
    /// What the weights along D and H are multiplied by.
    scale: f64,
    /// Whether the result is larger than the caches are worth.
    large: bool,
    inner: usize,
}

impl<'a, S: Summed> Resampling<'a, S> {
    /// Sums for an input of so many rows, and a result that is large or not, which decide no result; and whether the order of sums does
    /// not show.
    fn new(
        tables: &'a Tables,
        scale: [f64; 3],
        inner: usize,
        (rows, large, exact): (usize, bool, bool),
    ) -> Result<Self> {
        let (taps, whole) = (&tables.taps, tables.deciding());
        let weights = |t: &Taps, scale: f64| -> Result<Vec<S>> {
            let mut v = reserved(t.all_weights().len())?;
            v.extend(t.all_weights().iter().map(|w| S::weight(*w * scale)));
            Ok(v)
        };
        let phased = size_of::<S>() > size_of::<i16>(); // those are for vectors of all they can hold
        let period = taps[2].period().filter(|p| phased && inner == 1 && resample::has_phases(p, taps[2].widest()));
        let few = taps[2].all_weights().len().saturating_mul(inner).saturating_mul(rows) <= FEW_PRODUCTS;
        Ok(Self {
            weights: weights(&taps[2], scale[2])?,
            flat: if whole[0].is_identity() { Some(weights(&taps[1], scale[1])?) } else { None },
            blocks: if period.is_some() || few { None } else { Blocks::new(&taps[2], inner, scale[2])? },
            period,
            reach: taps[2].widest(),
            folds: folding_is_cheaper(whole, exact && inner > 1),
            scale: scale[0] * scale[1],
            large,
            taps,
            inner,
        })
    }
}

impl<S: Summed> Kernel for Resampling<'_, S> {
    type Key = S;
    type Scratch = Scratch<S>;
    type Slot = Room<S>;
    type Dst<'a> = RowsMut<'a, S>;
    type Made = Room<S>;

    fn out_spatial(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.taps[a].out_len())
    }
    #[inline(always)]
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.taps[axis].at(o)
    }
    fn inputs(&self, cols: Range<usize>) -> Range<usize> {
        self.taps[2].inputs(cols)
    }
    fn column_bytes(&self) -> usize {
        self.inner * size_of::<S>()
    }
    fn row_cost(&self) -> usize {
        // What is summed for each element, or what the row takes of the input, if that is more.
        let [d, h, w] = self.taps;
        let summed = w.out_len() * (self.reach + d.widest() * h.widest());
        let rows = d.in_len().saturating_mul(h.in_len()) / (d.out_len() * h.out_len()).max(1);
        summed.max(w.in_len().saturating_mul(rows)).saturating_mul(self.inner)
    }
    fn way(&self) -> Way {
        let row = self.taps[2].out_len().saturating_mul(self.column_bytes());
        match (self.folds, &self.flat) {
            (true, _) => Way::Folded,
            (false, Some(_)) if row < SHORT_ROW && self.taps[1].widest() <= FEW_ROWS => Way::Band,
            _ => Way::Ring,
        }
    }
    fn scratch(&self, tile: usize) -> Result<Scratch<S>> {
        let [d, h, _] = self.taps;
        let ring = match self.way() {
            Way::Band => {
                let row = tile.saturating_mul(self.inner);
                let at_once = (BYTES_ACROSS / row.saturating_mul(size_of::<S>()).max(1)).clamp(1, ROWS_OF_BAND);
                row.saturating_mul(h.widest() + at_once)
            }
            _ => 0,
        };
        let end = scratch(self.blocks.as_ref().map_or(0, Blocks::scratch))?;
        Ok(Scratch { weights: reserved(d.widest() * h.widest())?, end, ring: scratch(ring)? })
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        scratch(tile * self.inner)
    }

    #[inline(always)]
    fn across<L: Level>(
        &self,
        level: L,
        row: &InRow<'_, S>,
        cols: &Range<usize>,
        scratch: &mut Self::Scratch,
        slot: &mut Self::Slot,
    ) {
        level.call(self.across(List::one(row.cells), (row.from, cols), &mut scratch.end, as_uninit(slot)));
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        level: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        made: &mut Self::Scratch,
        dst: &mut RowsMut<'_, S>,
    ) {
        let weights = self.weights_of((to.d, to.h), &mut made.weights);
        let held = |first: usize| Held::Slots(slots, rows, first);
        self.down_to(level, weights, &held, (to.d, to.h, to.cols.len() * self.inner), dst);
    }

    fn band_rows(&self, _: usize) -> usize {
        let h = &self.taps[1];
        // So many output rows that few input rows go across twice: those that the next band reads too.
        let shared = h.widest().saturating_sub(1).max(1);
        (shared * ROWS_OF_BAND).saturating_mul(h.out_len()).div_ceil(h.in_len().max(1))
    }

    #[inline(always)]
    fn band<L: Level>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, S>,
        from: usize,
        scratch: &mut Self::Scratch,
        dst: &mut RowsMut<'_, S>,
    ) {
        let (len, Scratch { weights, end, ring }) = (to.cols.len() * self.inner, scratch);
        if self.folds {
            // The rows have been folded: each becomes an output row.
            let (mut row, at_once) = (to.h.start, dst.at_once().max(1));
            while row < to.h.end {
                let some = row..to.h.end.min(row.saturating_add(at_once));
                let rows = src.list(Reach::of(&(to.d..to.d + 1)), Reach::of(&some), 0);
                level.call(self.across(rows, (from, to.cols), end, dst.rows(to.d, some.clone())));
                row = some.end;
                dst.finish_rows(level, to.d, some);
            }
            return;
        }
        let (h, d) = (&self.taps[1], self.taps[0].at(to.d));
        let last = h.inputs(to.h.clone()).end;
        // (Where a large result is written as it lies, rows had better not come in bursts: what they displace takes its time.)
        let trickles = self.large && !dst.is_staged();
        let room = (ring.len() / len).min(if trickles { h.widest() + ROWS_AHEAD } else { usize::MAX });
        let mut held = 0..0;
        for row in to.h.clone() {
            let r = h.at(row);
            if r.count > 0 && (r.start < held.start || r.end() > held.end) {
                let kept = if held.contains(&r.start) { r.start - held.start..held.len() } else { 0..0 };
                let n = kept.len();
                ring.copy_within(kept.start * len..kept.end * len, 0);
                held = r.start..last.min(r.start + room);
                let rows = src.list(d, Reach::of(&(held.start + n..held.end)), 0);
                // Those that go across next time.
                for h in held.end..held.end + rows.rows() {
                    src.get(d.start, h).into_iter().for_each(simd::prefetch);
                }
                let made = as_uninit(&mut ring[n * len..held.len() * len]);
                level.call(self.across(rows, (from, to.cols), end, made));
            }
            let weights = self.weights_of((to.d, row), weights);
            let read = if r.count > 0 { &ring[(r.start - held.start) * len..] } else { &[] };
            let held = |first: usize| Held::InOrder(&read[first.min(read.len())..], len);
            self.down_to(level, weights, &held, (to.d, row, len), dst);
            dst.finish(level, to.d, row);
        }
    }

    fn exactly(&self, (d, h): (usize, usize), e: usize, sum: impl Fn([usize; 4], &[f64]) -> f64) -> f64 {
        let [td, th, tw] = self.taps;
        let (w, c) = (e / self.inner, e % self.inner);
        let mut total = 0.0;
        for (jd, wd) in td.weights(d).iter().enumerate() {
            for (jh, wh) in th.weights(h).iter().enumerate() {
                let at = [td.at(d).start + jd, th.at(h).start + jh, tw.at(w).start, c];
                total += wd * wh * sum(at, tw.weights(w));
            }
        }
        total
    }

    #[inline(always)]
    fn fold<L: Level, C: Codec<Computed = S>>(
        &self,
        _: L,
        codec: C,
        to: &OutRow<'_>,
        src: &Rows<'_, C::Stored>,
        scratch: &mut Self::Scratch,
        dst: &mut [S],
    ) {
        let (d, h) = (self.taps[0].at(to.d), self.taps[1].at(to.h));
        let weights = self.weights_of((to.d, to.h), &mut scratch.weights);
        let row = |j: usize| match d.count {
            1 => src.row(d.start, h.start + j),
            _ => src.row(d.start + j / h.count, h.start + j % h.count),
        };
        resample::fold::<C, L>(codec, weights, row, dst);
    }
}

impl<S: Summed> Resampling<'_, S> {
    /// Rows across, from input column `from` on.
    #[inline(always)]
    fn across<'a>(
        &'a self,
        rows: List<'a, S>,
        (from, cols): (usize, &'a Range<usize>),
        end: &'a mut [S],
        dst: &'a mut [MaybeUninit<S>],
    ) -> resample::Across<'a, S> {
        let (period, blocks) = (self.period.as_ref(), self.blocks.as_ref());
        let taps = Weighted { taps: &self.taps[2], weights: &self.weights, period, blocks };
        resample::Across { taps, rows, from, cols, inner: self.inner, end, dst }
    }

    /// Makes the output row at `(d, h)`, of `len` elements, of rows that have gone across: `held` has them from an element on.
    #[inline(always)]
    fn down_to<'r, L: Level>(
        &self,
        level: L,
        weights: &[S],
        held: &impl Fn(usize) -> Held<'r, S>,
        (d, h, len): (usize, usize, usize),
        dst: &mut RowsMut<'_, S>,
    ) {
        let rows = held(0);
        if STREAMED_ROWS.contains(&weights.len())
            && let Some(place) = dst.past_caches(d, h)
        {
            match *weights {
                [a, b] => resample::down_two(level, [a, b], [rows.row(0), rows.row(1)], place, true),
                _ => level.call(Down { weights, rows, dst: place, streamed: true }),
            }
            dst.written();
            return;
        }
        let part = dst.part().max(1);
        let mut first = 0;
        while first < len {
            let n = part.min(len - first);
            let made = &mut dst.row(d, h)[..n];
            match *weights {
                [a, b] => {
                    let rows = [&rows.row(0)[first..], &rows.row(1)[first..]];
                    resample::down_two(level, [a, b], rows, made, false);
                }
                _ => level.call(Down { weights, rows: held(first), dst: made, streamed: false }),
            }
            dst.finish_part(d, h, first, n);
            first += n;
        }
    }

    /// The weights of the rows that an output row reads.
    #[inline(always)]
    fn weights_of<'a>(&'a self, (od, oh): (usize, usize), made: &'a mut Vec<S>) -> &'a [S] {
        let (d, h) = (&self.taps[0], &self.taps[1]);
        if let Some(flat) = &self.flat {
            return &flat[h.offset(oh)..][..h.at(oh).count];
        }
        made.clear();
        for wd in d.weights(od) {
            made.extend(h.weights(oh).iter().map(|wh| S::weight(wd * wh * self.scale)));
        }
        made
    }
}
