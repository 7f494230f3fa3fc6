//! Pooling by windows: maxima and minima, with or without positions, means and norms.
//!
//! Whatever the operation, windows are folded across rows, then down them; what differs is the fold, what happens to
//! an element before it and to a result after it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::element::{Absolute, Codec, Linear, Order, Ordered, Plain, Real, Rounding};
use crate::engine::pipeline::{self, Band, Ends, InRow, Kernel, OutRow, OutRows, Through, Way};
use crate::engine::rows::{Finish, Place, Rows, RowsMut, as_cells, as_uninit, scratch};
use crate::engine::simd::Level;
use crate::error::Result;
use crate::geometry::Reach;
use crate::geometry::bins::Bins;
use crate::geometry::window::{AxisName, Padding, Windows};
use crate::kernels::argmax::{self, Pairs, Position};
use crate::kernels::norm::{self, Power};
use crate::kernels::reduce::{self, Beats, Best, Fold, RowWindows, Span, Sum};
use crate::layout::{Axes, CACHE_LINE, Grid, View, ViewMut, element_count, require_entries, simplify};

/// Parameters of a pooling, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolParams {
    /// Elements per window.
    pub kernel_size: Vec<usize>,
    /// Distance between windows; empty means `kernel_size`.
    pub stride: Vec<usize>,
    /// Elements of padding.
    pub padding: Vec<Padding>,
    /// Distance between the elements of a window.
    pub dilation: Vec<usize>,
    /// Whether a last, partial window counts.
    pub ceil_mode: bool,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl PoolParams {
    /// Windows of these lengths, next to each other.
    #[must_use]
    pub fn new(kernel_size: &[usize]) -> Self {
        let n = kernel_size.len();
        Self {
            kernel_size: kernel_size.to_vec(),
            stride: kernel_size.to_vec(),
            padding: vec![Padding::Explicit(Default::default()); n],
            dilation: vec![1; n],
            ceil_mode: false,
            channels_last: false,
        }
    }
}

/// What the sum of a window is divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Divisor {
    /// The number of its elements.
    Window,
    /// The number of its elements, padding included; what lies beyond the padding does not count.
    WindowAndPadding,
    /// A given number.
    Fixed(f64),
}

/// A checked pooling.
#[derive(Debug, Clone)]
pub struct PoolPlan {
    axes: Axes,
    bins: [Bins; 3],
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

/// An axis that is not pooled.
fn unit() -> Bins {
    Bins::Sliding(Windows::plain(1, 1, 1, 1))
}

impl PoolPlan {
    /// Checks a pooling of an array of this shape whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(shape: &[usize], itemsize: usize, p: &PoolParams) -> Result<Self> {
        let rank = p.kernel_size.len();
        let axes = Axes::new(shape.len(), rank, p.channels_last)?;
        require_entries("padding", p.padding.len(), rank)?;
        require_entries("dilation", p.dilation.len(), rank)?;
        if !p.stride.is_empty() {
            require_entries("stride", p.stride.len(), rank)?;
        }
        let lens = axes.spatial(shape);
        let mut bins = [unit(), unit(), unit()];
        for index in 0..rank {
            let axis = AxisName { index, rank };
            let (at, kernel, dilation) = (3 - rank + index, p.kernel_size[index], p.dilation[index]);
            let stride = if p.stride.is_empty() { kernel } else { p.stride[index] };
            let pad = p.padding[index].resolve(lens[at], kernel, stride, dilation, axis)?;
            let windows = Windows::pool(lens[at], kernel, stride, dilation, pad, p.ceil_mode, axis)?;
            bins[at] = Bins::Sliding(windows);
        }
        let out_shape = axes.with_spatial(shape, [0, 1, 2].map(|a| bins[a].out_len()));
        if element_count(&out_shape, itemsize)? > 0 {
            for index in 0..rank {
                if let Bins::Sliding(windows) = &bins[3 - rank + index] {
                    windows.require_input_in_every_window(AxisName { index, rank })?;
                }
            }
        }
        Ok(Self { axes, bins, out_shape })
    }

    /// Checks an adaptive pooling to these lengths (`None` keeps an axis as it is), one for each spatial axis.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn adaptive(
        shape: &[usize],
        itemsize: usize,
        output_size: &[Option<usize>],
        channels_last: bool,
    ) -> Result<Self> {
        let rank = output_size.len();
        let axes = Axes::new(shape.len(), rank, channels_last)?;
        let lens = axes.spatial(shape);
        let mut out = lens;
        for (out, size) in out[3 - rank..].iter_mut().zip(output_size) {
            *out = size.unwrap_or(*out);
        }
        let out_shape = axes.with_spatial(shape, out);
        let empty = element_count(&out_shape, itemsize)? == 0; // before tables of these lengths are made
        let mut bins = [unit(), unit(), unit()];
        for index in 0..rank {
            let (at, axis) = (3 - rank + index, AxisName { index, rank });
            Bins::check_adaptive(lens[at], out[at], axis)?;
            if !empty {
                bins[at] = Bins::adaptive(lens[at], out[at], axis)?;
            }
        }
        Ok(Self { axes, bins, out_shape })
    }

    /// The windows along D, H and W.
    #[must_use]
    pub fn bins(&self) -> &[Bins; 3] {
        &self.bins
    }

    /// Which axes are spatial.
    #[must_use]
    pub fn axes(&self) -> &Axes {
        &self.axes
    }

    /// Whether a flat position in the spatial block fits in 31 bits.
    fn positions_are_short(&self) -> bool {
        let block = self.bins.iter().try_fold(1usize, |n, b| n.checked_mul(b.in_len()));
        block.is_some_and(|n| i32::try_from(n).is_ok())
    }

    /// The windows' best elements.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn extrema<T: Ordered, B: Beats>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        self.fold::<_, _, Best, _>(B::Codec::<T>::default(), x, out, AsTheyAre)
    }

    /// The windows' sums, each divided by its divisor.
    ///
    /// # Errors
    /// As [`PoolPlan::extrema`].
    pub fn means<T: Linear>(
        &self,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
        divisor: Divisor,
        rounding: Rounding,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(()); // an empty batch may stand beside lengths no table could hold
        }
        let mean = Scaled::Mean(Mean::new(&self.bins, divisor));
        self.fold::<_, _, Sum, _>(T::sum_codec(rounding), x, out, mean)
    }

    /// The windows' norms: the `p`-th root of the sum of the `p`-th powers of the elements' absolute values, or the
    /// largest absolute value for an infinite `p`.
    ///
    /// # Errors
    /// As [`PoolPlan::extrema`].
    pub fn norms<T: Linear>(
        &self,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
        p: f64,
        rounding: Rounding,
    ) -> Result<()> {
        let codec = T::sum_codec(rounding);
        match Power::new(p) {
            Power::Infinite => self.fold::<_, _, Best, _>(Absolute(codec), x, out, AsTheyAre),
            power => self.fold::<_, _, Sum, _>(codec, x, out, Scaled::Norm(power)),
        }
    }

    fn fold<T, C, F, A>(&self, codec: C, x: &View<'_, T>, out: &mut ViewMut<'_, T>, around: A) -> Result<()>
    where
        T: Copy + Send + Sync + 'static,
        C: Codec<Stored = T>,
        F: Fold<C::Computed>,
        A: Around<C::Computed>,
    {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let (mut x, mut out) = (x.grid_of(&self.axes), out.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut out]);
        let kernel = Folding::<C::Computed, F, A> {
            bins: &self.bins,
            row: RowWindows::new(&self.bins[2])?,
            inner: x.inner,
            way: way(&self.bins, x.inner, size_of::<C::Computed>(), around.lifts(), F::UNORDERED),
            whole: whole_windows(&self.bins[1]),
            rows_first: F::UNORDERED && !around.lifts() && folds_rows_first(&self.bins),
            around,
            marker: PhantomData,
        };
        pipeline::run(&Through { kernel, load: codec, store: codec, x, out })
    }

    /// The windows' best elements and their flat positions in the spatial block.
    ///
    /// # Errors
    /// As [`PoolPlan::extrema`].
    pub fn extrema_with_indices<T: Ordered, B: Beats, O: Stored>(
        &self,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
        indices: &mut ViewMut<'_, O>,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let (mut x, mut out, mut indices) =
            (x.grid_of(&self.axes), out.grid_of(&self.axes), indices.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut out, &mut indices]);
        let codec = B::Codec::<T>::default();
        if self.positions_are_short() {
            pipeline::run(&LocatedEnds { kernel: self.locating::<_, i32>(x.inner)?, codec, x, out, indices })
        } else {
            pipeline::run(&LocatedEnds { kernel: self.locating::<_, i64>(x.inner)?, codec, x, out, indices })
        }
    }

    fn locating<K, I>(&self, inner: usize) -> Result<Locating<'_, K, I>> {
        let size = size_of::<K>() + size_of::<I>();
        let (row, way) = (RowWindows::new(&self.bins[2])?, way(&self.bins, inner, size, false, false));
        let whole = whole_windows(&self.bins[1]);
        Ok(Locating { bins: &self.bins, row, inner, way, whole, marker: PhantomData })
    }
}

/// Rows of a window, in strides, from which on folding it by blocks is faster than folding it at once.
const SCAN: usize = 4;

/// Most rows of a window to keep two blocks of.
const LONGEST_SCAN: usize = 2048;

/// Rows of a window that are better folded as they come than kept until all are there, if few windows share them.
const RUNNING: usize = 8;

/// Windows across a row up to this length are folded before the rows are, if those are few: that reads the rows in the
/// order they lie in, and short ones as long ones. (Of 2 x 2 x 2 windows it is a quarter slower than folding rows first, of
/// 2 x 2 twice as fast.)
const SHORT: usize = 3;

/// As [`SHORT`], rows of a window.
const FEW_ROWS: usize = 3;

/// Bytes of input rows, and of what they become across, to aim at for a band: the next rows come in while it is worked
/// on, which the processor manages only so far ahead. (Reading 26 MB three times, band by band, took 0.7 ms in bands of
/// 4 KiB and 0.8 to 0.9 in bands of 16 KiB.)
const BAND_BYTES: usize = 16 << 10;

/// Elements that folded rows are rounded up to: what is left over of a row of 31 takes longer than the rest.
const WHOLE: usize = 16;

/// Overlapping rows are taken across again with the next band: at most one in so many.
const AGAIN: usize = 8;

/// How many output rows are made at once, of how many rows of each input plane.
#[derive(Clone, Copy)]
struct BandRows {
    made: usize,
    read: usize,
}

/// The rows of a band of `tile` columns, of whose elements `size` bytes are kept across.
fn rows_of_band([d, h, w]: &[Bins; 3], tile: usize, inner: usize, size: usize) -> BandRows {
    let row = reach_of_tile(w, tile).saturating_add(tile).saturating_mul(inner).saturating_mul(size);
    let fitting = BAND_BYTES / row.saturating_mul(d.longest()).max(1);
    let (longest, step) = (h.longest(), step(h));
    let made = (fitting.saturating_sub(longest) / step + 1).min(h.out_len());
    BandRows { made, read: (made - 1).saturating_mul(step).saturating_add(longest).min(h.in_len()) }
}

/// Most elements from the beginning of a window to that of the next.
fn step(b: &Bins) -> usize {
    match b {
        Bins::Sliding(w) => w.stride,
        Bins::Listed { windows, in_len } => in_len.div_ceil(windows.len()),
    }
}

/// How many windows share an element.
fn overlap(b: &Bins) -> usize {
    match b {
        Bins::Sliding(w) => w.kernel.min(w.in_len).div_ceil(w.stride),
        Bins::Listed { windows, in_len } => (b.longest() * windows.len()).div_ceil(*in_len),
    }
}

/// Whether the rows of a window are better folded into one before that is taken across, where the order does not matter.
fn folds_rows_first([d, h, w]: &[Bins; 3]) -> bool {
    let (shared, listed) = (overlap(d) * overlap(h), matches!(h, Bins::Listed { .. }));
    let rows = d.longest().saturating_mul(h.longest());
    let many = matches!(w, Bins::Listed { .. }) || w.longest() > SHORT || rows > FEW_ROWS;
    w.out_len() < w.in_len() && many && (shared == 1 || listed && shared <= 4)
}

/// How the rows of these windows are folded, of whose elements `size` bytes are kept across; `lifts` if something happens
/// to elements before, `unordered` if rows may be folded before columns.
fn way(bins: &[Bins; 3], inner: usize, size: usize, lifts: bool, unordered: bool) -> Way {
    let [d, h, w] = bins;
    if let Bins::Sliding(s) = h
        && d.longest() == 1
        && s.dilation == 1
        && s.out_len > 1
        && (s.kernel / s.stride > SCAN)
        && s.kernel <= LONGEST_SCAN
    {
        return Way::Scan(s.kernel);
    }
    if unordered && !lifts && folds_rows_first(bins) {
        return Way::Band;
    }
    let (rows, shared) = (d.longest() * h.longest(), overlap(d) * overlap(h));
    if rows > RUNNING {
        return if shared <= 2 || rows > LONGEST_SCAN { Way::Running } else { Way::Ring };
    }
    let dense = |b: &Bins| matches!(b, Bins::Listed { .. }) || matches!(b, Bins::Sliding(w) if w.dilation == 1);
    let band = rows_of_band(bins, w.out_len(), inner, size);
    let again = h.longest().saturating_sub(step(h));
    let whole = band.made == h.out_len() || band.made * step(h) >= AGAIN * again;
    let bands = !lifts && dense(h) && overlap(d) == 1 && whole;
    if bands { Way::Band } else { Way::Ring }
}

/// The input rows of some neighbouring windows along H. (The first need not begin first: where it is dilated, the padding
/// may leave it only a later element.)
#[inline(always)]
fn rows_read(bins: &Bins, windows: &Range<usize>) -> Range<usize> {
    let first = bins.at(windows.start);
    let mut read = first.start..first.end();
    for o in windows.clone().skip(1) {
        let r = bins.at(o);
        read = read.start.min(r.start)..read.end.max(r.end());
    }
    read
}

/// A dtype positions are stored as.
pub trait Stored: Copy + Default + Send + Sync + 'static {
    /// Rows of it.
    fn rows(rows: RowsMut<'_, Self>) -> Places<'_>;
}
impl Stored for i64 {
    fn rows(rows: RowsMut<'_, Self>) -> Places<'_> {
        Places::Wide(rows)
    }
}
impl Stored for i32 {
    fn rows(rows: RowsMut<'_, Self>) -> Places<'_> {
        Places::Short(rows)
    }
}

/// Rows that positions are written to. (Which of the two is asked for every row: as a type parameter it would double the
/// kernels.)
pub enum Places<'a> {
    /// As int64.
    Wide(RowsMut<'a, i64>),
    /// As int32; the planner of the binding refuses blocks whose positions do not fit.
    Short(RowsMut<'a, i32>),
}

impl Places<'_> {
    #[inline(always)]
    fn at_once(&self) -> usize {
        match self {
            Self::Wide(rows) => rows.at_once(),
            Self::Short(rows) => rows.at_once(),
        }
    }

    #[inline(always)]
    fn finish_rows<L: Level>(&mut self, level: L, d: usize, h: Range<usize>) {
        match self {
            Self::Wide(rows) => rows.finish_rows(level, d, h),
            Self::Short(rows) => rows.finish_rows(level, d, h),
        }
    }
}

impl Finish for Places<'_> {
    #[inline(always)]
    fn finish<L: Level>(&mut self, level: L, d: usize, h: usize) {
        match self {
            Self::Wide(rows) => rows.finish(level, d, h),
            Self::Short(rows) => rows.finish(level, d, h),
        }
    }
}

/// What happens to elements before they are folded, and to results after.
trait Around<K: Copy>: Sync {
    /// Whether anything happens after.
    const FINISHES: bool;
    /// Whether anything happens before.
    fn lifts(&self) -> bool;
    /// A row before.
    fn lift<L: Level>(&self, level: L, row: &[Cell<K>], to: &mut [K]);
    /// Rows after, whose windows have the same number of rows.
    fn finish<L: Level>(&self, level: L, to: &OutRows<'_>, inner: usize, row: &[K], dst: &mut [MaybeUninit<K>]);
}

/// Nothing.
struct AsTheyAre;

impl<K: Copy> Around<K> for AsTheyAre {
    const FINISHES: bool = false;
    #[inline(always)]
    fn lifts(&self) -> bool {
        false
    }
    #[inline(always)]
    fn lift<L: Level>(&self, _: L, _: &[Cell<K>], _: &mut [K]) {}
    #[inline(always)]
    fn finish<L: Level>(&self, _: L, _: &OutRows<'_>, _: usize, _: &[K], _: &mut [MaybeUninit<K>]) {}
}

/// A division: by the product of a number for each axis.
pub(super) struct Mean<K> {
    bins: [Bins; 3],
    divisor: Divisor,
    /// The windows along W that have the same divisor, and it. (A table of all would be as large as a result of one row.)
    inside: Range<usize>,
    width: f64,
    kind: PhantomData<fn() -> K>,
}

impl<K: Real> Mean<K> {
    /// The divisors of these windows.
    pub(super) fn new(bins: &[Bins; 3], divisor: Divisor) -> Self {
        let (inside, width) = match (&bins[2], divisor) {
            (_, Divisor::Fixed(_)) => (0..bins[2].out_len(), 1.0),
            (Bins::Sliding(w), Divisor::Window) => (w.interior(), w.kernel as f64),
            (Bins::Sliding(w), Divisor::WindowAndPadding) => {
                // Only the last windows can reach beyond the padding.
                let full = (0..w.out_len).rev().take_while(|&o| bins[2].with_padding(o) < w.kernel).count();
                (0..w.out_len - full, w.kernel as f64)
            }
            (Bins::Listed { .. }, _) => (0..0, 1.0),
        };
        Self { bins: bins.clone(), divisor, inside, width, kind: PhantomData }
    }

    /// The number for window `o` of an axis.
    #[inline(always)]
    fn number(&self, axis: usize, o: usize) -> f64 {
        match self.divisor {
            Divisor::Window => self.bins[axis].at(o).count as f64,
            Divisor::WindowAndPadding => self.bins[axis].with_padding(o) as f64,
            Divisor::Fixed(n) => {
                if axis == 0 {
                    n
                } else {
                    1.0
                }
            }
        }
    }

    /// Rows of sums, each sum divided by its divisor, which is the same for all rows.
    #[inline(always)]
    pub(super) fn divide(&self, to: &OutRows<'_>, inner: usize, sums: &[K], dst: &mut [MaybeUninit<K>]) {
        let (by_row, cols) = (self.number(0, to.d) * self.number(1, to.h.start), to.cols);
        let (lo, hi) = (self.inside.start.clamp(cols.start, cols.end), self.inside.end.clamp(cols.start, cols.end));
        if lo == cols.start && hi == cols.end {
            return norm::divide(sums, K::of(by_row * self.width), dst);
        }
        let width = cols.len() * inner;
        for (sums, dst) in sums.chunks_exact(width).zip(dst.chunks_exact_mut(width)) {
            for o in (cols.start..lo).chain(hi.max(lo)..cols.end) {
                let at = (o - cols.start) * inner..(o - cols.start + 1) * inner;
                norm::divide(&sums[at.clone()], K::of(by_row * self.number(2, o)), &mut dst[at]);
            }
            if lo < hi {
                let at = (lo - cols.start) * inner..(hi - cols.start) * inner;
                norm::divide(&sums[at.clone()], K::of(by_row * self.width), &mut dst[at]);
            }
        }
    }
}

/// What surrounds sums. (One for each call; a box would be one more allocation that can fail.)
#[allow(clippy::large_enum_variant)]
enum Scaled<K> {
    /// A division after.
    Mean(Mean<K>),
    /// Powers before and a root after.
    Norm(Power),
}

impl<K: Real> Around<K> for Scaled<K> {
    const FINISHES: bool = true;
    #[inline(always)]
    fn lifts(&self) -> bool {
        matches!(self, Self::Norm(_))
    }
    #[inline(always)]
    fn lift<L: Level>(&self, _: L, row: &[Cell<K>], to: &mut [K]) {
        if let Self::Norm(power) = self {
            power.raise(row, to);
        }
    }
    #[inline(always)]
    fn finish<L: Level>(&self, _: L, to: &OutRows<'_>, inner: usize, row: &[K], dst: &mut [MaybeUninit<K>]) {
        match self {
            Self::Mean(mean) => mean.divide(to, inner, row, dst),
            Self::Norm(power) => power.root(row, dst),
        }
    }
}

/// Values only.
struct Folding<'a, K, F, A> {
    bins: &'a [Bins; 3],
    row: RowWindows<'a>,
    inner: usize,
    way: Way,
    /// The windows along H that are alike.
    whole: Range<usize>,
    rows_first: bool,
    around: A,
    marker: PhantomData<fn() -> (K, F)>,
}

/// Scratch of a [`Folding`].
struct Scratch<K> {
    /// Across: what long windows are folded in.
    room: Vec<K>,
    /// A row of inputs, lifted or folded already.
    inputs: Vec<K>,
    /// A row of outputs to be finished.
    outputs: Vec<K>,
}

/// Most input elements, of one channel, that a tile of `tile` outputs reads.
fn reach_of_tile(bins: &Bins, tile: usize) -> usize {
    let n = bins.out_len();
    (0..n).step_by(tile.max(1)).map(|o| bins.inputs(o..(o + tile).min(n)).len()).max().unwrap_or(0)
}

impl<K, F: Fold<K>, A: Around<K>> Kernel for Folding<'_, K, F, A>
where
    K: Copy + Default + Send + Sync + 'static,
{
    type Key = K;
    type Scratch = Scratch<K>;
    type Slot = Vec<K>;
    type Dst<'a> = RowsMut<'a, K>;

    fn out_spatial(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.bins[a].out_len())
    }
    #[inline(always)]
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.bins[axis].at(o)
    }
    fn inputs(&self, cols: Range<usize>) -> Range<usize> {
        self.bins[2].inputs(cols)
    }
    fn column_bytes(&self) -> usize {
        self.inner * size_of::<K>()
    }
    fn row_cost(&self) -> usize {
        row_cost(self.bins, self.inner)
    }
    fn way(&self) -> Way {
        self.way
    }
    fn scratch(&self, tile: usize) -> Result<Self::Scratch> {
        let rows = if self.way == Way::Band { self.rows_of_band(tile).made } else { 1 };
        let inputs = if self.around.lifts() || self.rows_first {
            reach_of_tile(&self.bins[2], tile) + WHOLE
        } else if self.way == Way::Band {
            self.rows_of_band(tile).read * self.bins[0].longest() * tile
        } else {
            0
        };
        Ok(Scratch {
            room: scratch(reduce::across_room(&self.bins[2], tile, self.inner))?,
            inputs: scratch(inputs * self.inner)?,
            outputs: scratch(if A::FINISHES { rows * tile * self.inner } else { 0 })?,
        })
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        scratch(tile * self.inner)
    }

    #[inline(always)]
    fn across<L: Level>(
        &self,
        level: L,
        row: &InRow<'_, K>,
        cols: &Range<usize>,
        s: &mut Self::Scratch,
        slot: &mut Self::Slot,
    ) {
        let src = if self.around.lifts() {
            let lifted = &mut s.inputs[..row.cells.len()];
            self.around.lift(level, row.cells, lifted);
            as_cells(lifted)
        } else {
            row.cells
        };
        let span = Span { src, from: row.from, cols, inner: self.inner };
        reduce::across::<K, F>(&self.row, &span, &mut s.room, slot);
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        level: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        s: &mut Self::Scratch,
        dst: &mut RowsMut<'_, K>,
    ) {
        let row = |j: usize| &slots[rows[j]][..];
        let dst = dst.row(to.d, to.h);
        if A::FINISHES {
            let folded = &mut s.outputs[..dst.len()];
            reduce::down::<K, F>(rows.len(), row, as_uninit(folded));
            let to = OutRows { d: to.d, h: to.h..to.h + 1, cols: to.cols };
            self.around.finish(level, &to, self.inner, folded, dst);
        } else {
            reduce::down::<K, F>(rows.len(), row, dst);
        }
    }

    #[inline(always)]
    fn absorb<L: Level>(&self, _: L, into: &mut Self::Slot, later: &Self::Slot) {
        reduce::absorb::<K, F>(into, later);
    }

    fn band_rows(&self, tile: usize) -> usize {
        self.rows_of_band(tile).made
    }

    #[inline(always)]
    fn band<L: Level>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, K>,
        from: usize,
        s: &mut Self::Scratch,
        dst: &mut RowsMut<'_, K>,
    ) {
        if F::SIMPLER && !any_odd(src, &self.bins[0].at(to.d), &rows_read(&self.bins[1], &to.h), F::odd) {
            self.band_of::<L, F::Simple>(level, to, src, from, s, dst);
        } else {
            self.band_of::<L, F>(level, to, src, from, s, dst);
        }
    }
}

impl<K: Copy, F: Fold<K>, A: Around<K>> Folding<'_, K, F, A> {
    fn rows_of_band(&self, tile: usize) -> BandRows {
        rows_of_band(self.bins, tile, self.inner, size_of::<K>())
    }

    #[inline(always)]
    fn band_of<L: Level, G: Fold<K>>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, K>,
        from: usize,
        s: &mut Scratch<K>,
        dst: &mut RowsMut<'_, K>,
    ) {
        let (rd, read) = (self.bins[0].at(to.d), rows_read(&self.bins[1], &to.h));
        let repeat = self.row.repeat(to.cols, src.row_len(), self.inner);
        let (inner, cols, width) = (self.inner, to.cols, to.cols.len() * self.inner);
        let rows_first = G::UNORDERED && self.rows_first;
        let kept = (read.len() * width).max(1);
        if rows_first && read.len() * src.row_len() * rd.count * size_of::<K>() <= 2 * BAND_BYTES {
            touch(src, &rd, &read);
        }
        for (j, kept) in s.inputs.chunks_exact_mut(kept).take(if rows_first { 0 } else { rd.count }).enumerate() {
            for (cells, at, rows) in long_rows(src, rd.start + j * rd.step, &read, repeat) {
                let span = Span { src: cells, from, cols, inner };
                reduce::across_rows::<K, G>(&self.row, &span, rows, &mut s.room, &mut kept[at * width..]);
            }
        }
        let mut h = to.h.start;
        while h < to.h.end {
            let rh = self.bins[1].at(h);
            let n = if rows_first { 1 } else { alike(&self.whole, h..to.h.end).min(dst.at_once()) };
            let rows = OutRows { d: to.d, h: h..h + n, cols };
            let places = dst.rows(to.d, h..h + n);
            let made = if A::FINISHES { &mut s.outputs[..n * width] } else { &mut [] };
            if rows_first {
                let n = rd.count * rh.count;
                let (len, first) = (src.row_len(), (rh.start - read.start) * src.row_len());
                // In whole vectors, where the elements of the next row follow.
                let wide = len.next_multiple_of(WHOLE);
                let end = first + (rh.count - 1) * rh.step * len + wide;
                let plane = if rd.count == 1 { src.flat(rd.start, read.clone()) } else { None };
                let plane = plane.filter(|plane| end <= plane.len());
                let input = |j: usize| match plane {
                    Some(plane) => &plane[first + j * rh.step * len..][..wide],
                    None if rd.count == 1 => src.row(rd.start, rh.start + j * rh.step),
                    None => src.row(rd.start + j / rh.count * rd.step, rh.start + j % rh.count * rh.step),
                };
                let folded = &mut s.inputs[..if plane.is_some() { wide } else { len }];
                let cells = if n == 1 {
                    &input(0)[..len]
                } else {
                    reduce::down_cells::<K, G>(n, input, as_uninit(folded));
                    &as_cells(folded)[..len]
                };
                let span = Span { src: cells, from, cols, inner };
                reduce::across::<K, G>(&self.row, &span, &mut s.room, made);
            } else {
                let mut taps = [0; RUNNING];
                let taps = taps_of(&mut taps, (rd.count, kept), rh, read.start, width);
                let to = if A::FINISHES { as_uninit(made) } else { &mut *places };
                reduce::down_rows::<K, G>(&s.inputs, taps, step(&self.bins[1]) * width, width, to);
            }
            if A::FINISHES {
                self.around.finish(level, &rows, inner, made, places);
            }
            dst.finish_rows(level, to.d, h..h + n);
            h += n;
        }
    }
}

/// Whether one of the rows, or one next to them, holds something odd. (Asked before there is anything to compute, and in
/// the order the rows lie in, it also brings them in at the speed of memory.)
#[inline(always)]
fn any_odd<K: Copy>(src: &Rows<'_, K>, planes: &Reach, read: &Range<usize>, odd: impl Fn(K) -> bool) -> bool {
    let mut any = false;
    for j in 0..planes.count {
        for (cells, _, _) in long_rows(src, planes.start + j * planes.step, read, true) {
            for v in cells {
                any |= odd(v.get());
            }
        }
    }
    any
}

/// Brings rows in, in the order they lie in. (13 MB from memory on a Zen 4 core: in order 0.5 ms, two rows in turns 1.2, with
/// rows asked for ahead, near or far, 0.65 to 0.95: what is asked for does not teach the processor which rows come next.)
#[inline(always)]
fn touch<K: Copy>(src: &Rows<'_, K>, planes: &Reach, read: &Range<usize>) {
    let line = (CACHE_LINE / size_of::<K>().max(1)).max(1);
    for j in 0..planes.count {
        for h in read.clone() {
            for v in src.row(planes.start + j * planes.step, h).iter().step_by(line) {
                std::hint::black_box(v.get());
            }
        }
    }
}

/// How many of the rows have whole windows, or one that has not.
#[inline(always)]
fn alike(whole: &Range<usize>, rows: Range<usize>) -> usize {
    if rows.start >= whole.start && rows.start < whole.end { rows.end.min(whole.end) - rows.start } else { 1 }
}

/// Where the rows of a window begin that have gone across: of so many planes, a distance apart, those along H from `first` on.
#[inline(always)]
fn taps_of(
    taps: &mut [usize; RUNNING],
    (planes, apart): (usize, usize),
    rh: Reach,
    first: usize,
    width: usize,
) -> &[usize] {
    let mut n = 0;
    for d in 0..planes {
        for j in 0..rh.count {
            taps[n] = d * apart + (rh.start + j * rh.step - first) * width;
            n += 1;
        }
    }
    &taps[..n]
}

/// The windows along H that are whole and equally far apart.
fn whole_windows(bins: &Bins) -> Range<usize> {
    match bins {
        Bins::Sliding(w) => w.interior(),
        Bins::Listed { .. } => 0..0,
    }
}

/// Rows of a plane as long ones where they lie one after the other and `repeat`, else one by one: the elements of each, how
/// many rows come before it, and how many it is.
#[inline(always)]
fn long_rows<'a, K: Copy>(
    src: &'a Rows<'a, K>,
    d: usize,
    read: &'a Range<usize>,
    repeat: bool,
) -> impl Iterator<Item = (&'a [Cell<K>], usize, usize)> {
    let flat = if repeat { src.flat(d, read.clone()) } else { None };
    let at_once = if flat.is_some() { read.len() } else { 1 };
    let row = move |h| flat.unwrap_or_else(|| src.row(d, h));
    read.clone().step_by(at_once.max(1)).map(move |h| (row(h), h - read.start, at_once))
}

/// Cost of one output row, in elements: what is folded for each of its elements, or what it takes of the input, if that
/// is more.
fn row_cost([d, h, w]: &[Bins; 3], inner: usize) -> usize {
    let folds = w.longest().min(16).saturating_add(d.longest().saturating_mul(h.longest()).min(16));
    let folded = w.out_len().saturating_mul(folds);
    let rows = d.in_len().saturating_mul(h.in_len()) / d.out_len().saturating_mul(h.out_len()).max(1);
    folded.max(w.in_len().saturating_mul(rows)).saturating_mul(inner)
}

/// Scratch of a [`Locating`]: values and positions of long windows across, and of rows that have gone across.
struct Located<K, I> {
    room: (Vec<K>, Vec<I>),
    kept: (Vec<K>, Vec<I>),
}

/// Values and positions.
struct Locating<'a, K, I> {
    bins: &'a [Bins; 3],
    row: RowWindows<'a>,
    inner: usize,
    way: Way,
    whole: Range<usize>,
    marker: PhantomData<fn() -> (K, I)>,
}

impl<K: Order, I: Position> Kernel for Locating<'_, K, I> {
    /// Only blocks beyond 2^31 elements need wide positions, where memory sets the pace.
    const BASELINE: bool = size_of::<I>() > 4;

    type Key = K;
    type Scratch = Located<K, I>;
    type Slot = (Vec<K>, Vec<I>);
    type Dst<'a> = (RowsMut<'a, K>, Places<'a>);

    fn out_spatial(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.bins[a].out_len())
    }
    #[inline(always)]
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.bins[axis].at(o)
    }
    fn inputs(&self, cols: Range<usize>) -> Range<usize> {
        self.bins[2].inputs(cols)
    }
    fn column_bytes(&self) -> usize {
        self.inner * (size_of::<K>() + size_of::<I>())
    }
    fn row_cost(&self) -> usize {
        row_cost(self.bins, self.inner).saturating_mul(2)
    }
    fn way(&self) -> Way {
        self.way
    }
    fn scratch(&self, tile: usize) -> Result<Self::Scratch> {
        let band = if self.way == Way::Band { self.rows_of_band(tile).read } else { 1 };
        let rows = if self.row.may_repeat() { band } else { 1 };
        let (values, positions) = argmax::across_room(&self.bins[2], tile * rows, self.inner);
        let kept = if self.way == Way::Band { band * self.bins[0].longest() * tile * self.inner } else { 0 };
        Ok(Located { room: (scratch(values)?, scratch(positions)?), kept: (scratch(kept)?, scratch(kept)?) })
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        Ok((scratch(tile * self.inner)?, scratch(tile * self.inner)?))
    }

    #[inline(always)]
    fn across<L: Level>(
        &self,
        _: L,
        row: &InRow<'_, K>,
        cols: &Range<usize>,
        s: &mut Self::Scratch,
        slot: &mut Self::Slot,
    ) {
        let [_, h, w] = self.bins;
        let base = (row.d * h.in_len() + row.h) * w.in_len();
        let span = Span { src: row.cells, from: row.from, cols, inner: self.inner };
        let mut room = Pairs { values: &mut s.room.0, positions: &mut s.room.1 };
        let mut dst = Pairs { values: &mut slot.0, positions: &mut slot.1 };
        argmax::across::<K, I>(&self.row, &span, base, &mut room, &mut dst);
    }

    #[inline(always)]
    fn down<L: Level>(
        &self,
        _: L,
        to: &OutRow<'_>,
        rows: &[usize],
        slots: &[Self::Slot],
        _: &mut Self::Scratch,
        (values, positions): &mut Self::Dst<'_>,
    ) {
        let row = |j: usize| {
            let (values, positions) = &slots[rows[j]];
            (&values[..], &positions[..])
        };
        let (n, values) = (rows.len(), values.row(to.d, to.h));
        match positions {
            Places::Wide(places) => argmax::down::<K, I, i64>(n, row, values, places.row(to.d, to.h), I::wide),
            Places::Short(places) => {
                argmax::down::<K, I, i32>(n, row, values, places.row(to.d, to.h), |i| i.wide() as i32);
            }
        }
    }

    fn band_rows(&self, tile: usize) -> usize {
        self.rows_of_band(tile).made
    }

    #[inline(always)]
    fn band<L: Level>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, K>,
        from: usize,
        s: &mut Self::Scratch,
        dst: &mut Self::Dst<'_>,
    ) {
        if K::ODD && !any_odd(src, &self.bins[0].at(to.d), &rows_read(&self.bins[1], &to.h), K::is_odd) {
            self.band_of::<L, true>(level, to, src, from, s, dst);
        } else {
            self.band_of::<L, false>(level, to, src, from, s, dst);
        }
    }

    #[inline(always)]
    fn absorb<L: Level>(&self, _: L, into: &mut Self::Slot, later: &Self::Slot) {
        let into = Pairs { values: &mut into.0, positions: &mut into.1 };
        argmax::absorb::<K, I>(into, (&later.0, &later.1));
    }
}

impl<K: Order, I: Position> Locating<'_, K, I> {
    fn rows_of_band(&self, tile: usize) -> BandRows {
        rows_of_band(self.bins, tile, self.inner, size_of::<K>() + size_of::<I>())
    }

    #[inline(always)]
    fn band_of<L: Level, const PLAIN: bool>(
        &self,
        level: L,
        to: &OutRows<'_>,
        src: &Rows<'_, K>,
        from: usize,
        s: &mut Located<K, I>,
        (values, positions): &mut (RowsMut<'_, K>, Places<'_>),
    ) {
        let [bd, bh, bw] = self.bins;
        let (rd, read) = (bd.at(to.d), rows_read(bh, &to.h));
        let repeat = self.row.repeat(to.cols, src.row_len(), self.inner);
        let (inner, cols, width) = (self.inner, to.cols, to.cols.len() * self.inner);
        let kept = (read.len() * width).max(1);
        let mut room = Pairs { values: &mut s.room.0, positions: &mut s.room.1 };
        let planes = s.kept.0.chunks_exact_mut(kept).zip(s.kept.1.chunks_exact_mut(kept));
        for (j, (values, positions)) in planes.take(rd.count).enumerate() {
            let d = rd.start + j * rd.step;
            for (cells, at, rows) in long_rows(src, d, &read, repeat) {
                let base = (d * bh.in_len() + read.start + at) * bw.in_len();
                let span = Span { src: cells, from, cols, inner };
                let (values, positions) = (&mut values[at * width..], &mut positions[at * width..]);
                argmax::across_rows::<K, I, PLAIN>(
                    &self.row,
                    &span,
                    rows,
                    base,
                    &mut room,
                    &mut Pairs { values, positions },
                );
            }
        }
        let (kept_of, step) = ((&s.kept.0[..], &s.kept.1[..]), step(bh) * width);
        let mut h = to.h.start;
        while h < to.h.end {
            let n = alike(&self.whole, h..to.h.end).min(values.at_once()).min(positions.at_once());
            let (rows, mut taps) = (h..h + n, [0; RUNNING]);
            let taps = taps_of(&mut taps, (rd.count, kept), bh.at(h), read.start, width);
            let found = values.rows(to.d, rows.clone());
            match positions {
                Places::Wide(places) => {
                    let places = places.rows(to.d, rows.clone());
                    argmax::down_rows::<K, I, i64, PLAIN>(kept_of, taps, step, width, found, places, I::wide);
                }
                Places::Short(places) => {
                    let places = places.rows(to.d, rows.clone());
                    argmax::down_rows::<K, I, i32, PLAIN>(kept_of, taps, step, width, found, places, |i| {
                        i.wide() as i32
                    });
                }
            }
            values.finish_rows(level, to.d, rows.clone());
            positions.finish_rows(level, to.d, rows);
            h += n;
        }
    }
}

/// One array in; values and positions out.
struct LocatedEnds<'a, C: Codec, I, O> {
    kernel: Locating<'a, C::Computed, I>,
    codec: C,
    x: Grid<*const C::Stored>,
    out: Grid<*mut C::Stored>,
    indices: Grid<*mut O>,
}

impl<'b, C: Codec<Computed: Order>, I: Position, O: Stored> Ends for LocatedEnds<'b, C, I, O> {
    type Kernel = Locating<'b, C::Computed, I>;
    type Packed = Vec<C::Computed>;
    type Made = (Vec<C::Computed>, Vec<O>);

    fn kernel(&self) -> &Self::Kernel {
        &self.kernel
    }
    fn blocks(&self) -> usize {
        self.x.blocks()
    }
    fn ready(&self) -> [bool; 2] {
        let written = self.out.rows_lie_ready::<C>() && self.indices.rows_lie_ready::<Plain<O>>();
        [self.x.rows_lie_ready::<C>(), written]
    }
    fn source<'a>(&'a self, place: &Place, packed: &'a mut Self::Packed) -> Result<Rows<'a, C::Computed>> {
        self.x.rows(self.codec, place, packed)
    }
    fn with_output(
        &self,
        band: &Band,
        (made, located): &mut Self::Made,
        run: impl FnOnce(<Self::Kernel as Kernel>::Dst<'_>) -> Result<()>,
    ) -> Result<()> {
        let Band { block, rows, cols } = band;
        self.out.write_rows(self.codec, *block, rows, cols, made, |values| {
            self.indices.write_rows(Plain::<O>::default(), *block, rows, cols, located, |positions| {
                run((values, O::rows(positions)))
            })
        })
    }
}
