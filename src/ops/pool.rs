//! Pooling by windows: maxima and minima, with or without positions, means and norms.
//!
//! Whatever the operation, windows are folded across rows, then down them; what differs is the fold, what happens to
//! an element before it and to a result after it.

use std::marker::PhantomData;
use std::ops::Range;

use crate::element::{Absolute, Codec, Linear, Order, Ordered, Rounding};
use crate::engine::pipeline::{self, INPUT_BYTES, PIECE, Through, Way};
use crate::error::Result;
use crate::geometry::bins::Bins;
use crate::geometry::window::{AxisName, Padding, Windows};
use crate::kernels::norm::Power;
use crate::kernels::reduce::{Beats, Best, Fold, RowWindows, Sum};
use crate::layout::{Axes, Grid, View, ViewMut, element_count, require_entries, simplify};
use crate::ops::planes::side_by_side;
use crate::ops::resize_part::check_ranges;

mod bands;
mod fold;
mod locate;
mod search;

use bands::{RowsFirst, folds_rows_first, way, whole_windows};
use fold::{Around, AsTheyAre, Folding, Scaled};
use locate::{LocatedEnds, Locating, most_span};
use search::Search;

pub(super) use fold::Mean;
pub use locate::{Stored, force_span};

/// Longest rows of which many planes are better side by side, and those where windows read each element more often than so. (2 x
/// 2 of 28 x 28, 200,000 elements in all, take 88 µs as they are and 107 side by side, 5 x 5 of stride 1 626 and 244.)
const NARROW: [usize; 2] = [24, 40];
const OFTEN: usize = 9;

/// As `NARROW`, where positions are wanted: of windows one apart along a row, of short ones further apart, and of others. (Long
/// windows that do not overlap are searched one by one, but for planes side by side: 64 planes of 28 x 28, µs as they are and
/// turned, 3 x 3 one apart 59 and 96, two apart 49 and 39, 7 x 7 seven apart 56 and 36, 3 x 3 results of whatever windows 328
/// and 36; of 112 x 112 7 x 7 685 and 599, 3 x 3 results 5209 and 668.)
const LOCATED: [usize; 3] = [24, 28, 128];
const LONG_LOCATED: usize = 4;

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
    /// What the windows are a part of, if they are one.
    whole: Option<Box<Whole>>,
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

/// All windows, of which a plan has some, and the place of its first input element.
#[derive(Debug, Clone)]
struct Whole {
    bins: [Bins; 3],
    first: [usize; 3],
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
        Ok(Self { axes, bins, whole: None, out_shape })
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
        Ok(Self { axes, bins, whole: None, out_shape })
    }

    /// The plan of some outputs alone, given as a range along every axis, and the range of inputs that it wants. Its
    /// results are the whole's, bit for bit, and its positions too.
    ///
    /// # Errors
    /// If a range is not within its axis or is empty, or a list cannot be allocated.
    pub fn part(&self, outs: &[Range<usize>]) -> Result<(Self, Vec<Range<usize>>)> {
        check_ranges(outs, &self.out_shape)?;
        let mut held = outs.to_vec();
        let (mut bins, mut first) = ([unit(), unit(), unit()], [0; 3]);
        for at in 3 - self.axes.rank..3 {
            let i = self.axes.first() + at + self.axes.rank - 3;
            held[i] = self.bins[at].inputs(outs[i].clone());
            bins[at] = self.bins[at].part(&outs[i])?;
            first[at] = held[i].start;
        }
        let whole = Some(Box::new(Whole { bins: self.bins.clone(), first }));
        let out_shape = outs.iter().map(Range::len).collect();
        Ok((Self { axes: self.axes, bins, whole, out_shape }, held))
    }

    /// All windows, by which it is decided how they are folded, so that some of them have the same results.
    fn deciding(&self) -> &[Bins; 3] {
        self.whole.as_ref().map_or(&self.bins, |w| &w.bins)
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

    /// Whether rows come in pieces: where windows are that long, and do not share much.
    fn in_pieces(&self) -> bool {
        let w = &self.deciding()[2];
        let dense = !matches!(w, Bins::Sliding(w) if w.dilation > 1);
        dense && w.longest() > PIECE && bands::step(w) >= w.longest() / 2
    }

    /// Longest rows of which many planes are better side by side: see [`side_by_side`]. `located` if positions are wanted.
    fn narrow(&self, located: bool) -> usize {
        let w = &self.bins[2];
        if located {
            return match w {
                Bins::Sliding(s) if s.stride == 1 => LOCATED[0],
                Bins::Sliding(s) if s.kernel <= LONG_LOCATED => LOCATED[1],
                _ => LOCATED[2],
            };
        }
        let [read, there] = [|b: &Bins| b.longest().saturating_mul(b.out_len()), Bins::in_len]
            .map(|of| self.bins.iter().map(of).fold(1usize, usize::saturating_mul));
        NARROW[usize::from(read / there.max(1) > OFTEN)]
    }

    /// How the windows are folded, see [`way`].
    fn way(&self, inner: usize, size: usize, lifts: bool, rows_first: RowsFirst) -> Way {
        if self.in_pieces() {
            return Way::Running;
        }
        match (way(self.deciding(), inner, size, lifts, rows_first), &self.whole) {
            (Way::Scan(block, _), Some(whole)) => Way::Scan(block, whole.first[1] % block),
            (way, _) => way,
        }
    }

    /// How many elements the inputs are apart, at most, that a tile of an output row reads.
    fn span(&self) -> usize {
        let [d, h, w] = self.deciding();
        let beyond = |b: &Bins| match b {
            Bins::Sliding(w) => (w.kernel - 1).saturating_mul(w.dilation).min(w.in_len),
            Bins::Listed { .. } => b.longest(),
        };
        let rows = beyond(d).saturating_mul(h.in_len()).saturating_add(beyond(h)).saturating_mul(w.in_len());
        // The pipeline cuts tiles so, and an element has a byte at least.
        rows.saturating_add(w.in_len().min(INPUT_BYTES.saturating_add(beyond(w))))
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
        let mean = Scaled::Mean(Mean::new(&self.bins, divisor)?);
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
        if side_by_side(&x.bare(), &[out.bare()], self.narrow(false), &|x, made| {
            self.fold_grids::<T, C, F, A>(codec, x.grid(), made[0].grid(), &around)
        })? {
            return Ok(());
        }
        self.fold_grids::<T, C, F, A>(codec, x, out, &around)
    }

    #[inline(never)] // it is called twice
    fn fold_grids<T, C, F, A>(&self, codec: C, x: Grid<*const T>, out: Grid<*mut T>, around: &A) -> Result<()>
    where
        T: Copy + Send + Sync + 'static,
        C: Codec<Stored = T>,
        F: Fold<C::Computed>,
        A: Around<C::Computed>,
    {
        let rows_first = match (F::ROWS_FIRST, F::SIMPLER && F::Simple::ROWS_FIRST) {
            (true, _) => RowsFirst::Always,
            (_, true) => RowsFirst::Mostly,
            _ => RowsFirst::Never,
        };
        let way = self.way(x.inner, size_of::<C::Computed>(), around.lifts(), rows_first);
        let rows_first = rows_first != RowsFirst::Never && way == Way::Band && !around.lifts();
        let kernel = Folding::<C::Computed, F, A> {
            bins: &self.bins,
            row: RowWindows::new(&self.bins[2])?,
            inner: x.inner,
            way,
            whole: whole_windows(&self.bins[1]),
            in_pieces: self.in_pieces(),
            rows_first: rows_first && folds_rows_first(self.deciding()),
            around,
            marker: PhantomData,
        };
        pipeline::run(&kernel, &Through { kernel: &kernel, load: codec, store: codec, x, out })
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
        let codec = B::Codec::<T>::default();
        let far = self.span() > most_span();
        if far {
            self.extrema::<T, B>(x, out)?;
        }
        let (mut x, mut out, mut indices) =
            (x.grid_of(&self.axes), out.grid_of(&self.axes), indices.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut out, &mut indices]);
        if far {
            let (blocks, found) = (x.blocks(), (codec, out.to_be_read()));
            let (x, out, indices) = ((codec, x), (codec, out), (O::ToWide::default(), indices));
            return Search { plan: self, x: &x, found: &found, out: &out, indices: &indices }.run(blocks);
        }
        if side_by_side(&x.bare(), &[out.bare(), indices.bare()], self.narrow(true), &|x, made| {
            self.locate_grids(LocatedEnds { codec, x: x.grid(), out: made[0].grid(), indices: made[1].grid::<O>() })
        })? {
            return Ok(());
        }
        self.locate_grids(LocatedEnds { codec, x, out, indices })
    }

    #[inline(never)] // it is called twice
    fn locate_grids<C: Codec<Computed: Order>, O: Stored>(&self, ends: LocatedEnds<C, O>) -> Result<()> {
        pipeline::run(&self.locating(ends.x.inner)?, &ends)
    }

    /// Where the array lies in the one that positions count in, and the lengths of that.
    fn counted_in(&self) -> ([usize; 3], [usize; 3]) {
        let first = self.whole.as_ref().map_or([0; 3], |w| w.first);
        (first, [0, 1, 2].map(|a| self.deciding()[a].in_len()))
    }

    fn locating<K>(&self, inner: usize) -> Result<Locating<'_, K>> {
        let size = size_of::<K>() + size_of::<i32>();
        let (row, way) = (RowWindows::new(&self.bins[2])?, self.way(inner, size, false, RowsFirst::Never));
        let whole = whole_windows(&self.bins[1]);
        let (first, lens) = self.counted_in();
        let in_pieces = self.in_pieces();
        Ok(Locating { bins: &self.bins, first, lens, row, inner, way, whole, in_pieces, marker: PhantomData })
    }
}
