//! Max and min pooling, with or without positions.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use crate::element::Ordered;
use crate::engine::pipeline::{self, Separable};
use crate::engine::rows::{At, scratch};
use crate::engine::simd::{self, Baseline, Job};
use crate::error::Result;
use crate::geometry::Reach;
use crate::geometry::window::{AxisName, Pad, Windows};
use crate::kernels::argmax::{self, Position};
use crate::kernels::conv::split_room;
use crate::kernels::reduce::{self, Beats, Span};
use crate::layout::{Axes, Grid, View, ViewMut, element_count, require_entries, simplify};

/// Parameters of a pooling, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolParams {
    /// Elements per window.
    pub kernel_size: Vec<usize>,
    /// Distance between windows; empty means `kernel_size`.
    pub stride: Vec<usize>,
    /// Elements of padding.
    pub padding: Vec<Pad>,
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
            padding: vec![Pad::default(); n],
            dilation: vec![1; n],
            ceil_mode: false,
            channels_last: false,
        }
    }
}

/// A checked pooling.
#[derive(Debug, Clone)]
pub struct PoolPlan {
    axes: Axes,
    windows: [Windows; 3],
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

const UNIT: Windows =
    Windows { in_len: 1, out_len: 1, kernel: 1, stride: 1, dilation: 1, pad: Pad { before: 0, after: 0 } };

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
        let mut windows = [UNIT; 3];
        for index in 0..rank {
            let name = AxisName { index, rank };
            let stride = if p.stride.is_empty() { p.kernel_size[index] } else { p.stride[index] };
            let at = 3 - rank + index;
            windows[at] = Windows::pool(
                lens[at],
                p.kernel_size[index],
                stride,
                p.dilation[index],
                p.padding[index],
                p.ceil_mode,
                name,
            )?;
        }
        let out_shape = axes.with_spatial(shape, windows.map(|w| w.out_len));
        if element_count(&out_shape, itemsize)? > 0 {
            for index in 0..rank {
                windows[3 - rank + index].require_input_in_every_window(AxisName { index, rank })?;
            }
        }
        Ok(Self { axes, windows, out_shape })
    }

    /// Whether a flat position in the spatial block fits in 31 bits.
    fn positions_are_short(&self) -> bool {
        let block = self.windows.iter().try_fold(1usize, |n, w| n.checked_mul(w.in_len));
        block.is_some_and(|n| i32::try_from(n).is_ok())
    }

    /// The windows' best elements.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn extrema<T: Ordered, B: Beats>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        let (mut x, mut out) = (x.grid_of(&self.axes), out.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut out]);
        pipeline::run(&Extrema::<T, B> {
            windows: &self.windows,
            inside: self.windows[2].interior(),
            x,
            out,
            beats: PhantomData,
        })
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
        let (mut x, mut out, mut indices) =
            (x.grid_of(&self.axes), out.grid_of(&self.axes), indices.grid_of(&self.axes));
        simplify(&mut x, &mut [&mut out, &mut indices]);
        let (windows, inside) = (&self.windows, self.windows[2].interior());
        if self.positions_are_short() {
            pipeline::run(&Located::<T, i32, O, B> { windows, inside, x, out, indices, marker: PhantomData })
        } else {
            pipeline::run(&Located::<T, i64, O, B> { windows, inside, x, out, indices, marker: PhantomData })
        }
    }
}

/// A dtype positions are stored as.
pub trait Stored: Copy + Default + Send + Sync + 'static {
    /// From a position.
    fn of(i: i64) -> Self;
}
impl Stored for i64 {
    #[inline(always)]
    fn of(i: i64) -> Self {
        i
    }
}
impl Stored for i32 {
    #[inline(always)]
    fn of(i: i64) -> Self {
        i as i32 // the planner of the binding refuses blocks that do not fit
    }
}

/// Values only.
struct Extrema<'a, T: Ordered, B> {
    windows: &'a [Windows; 3],
    inside: Range<usize>,
    x: Grid<*const T>,
    out: Grid<*mut T>,
    beats: PhantomData<B>,
}

/// Packing scratch and a row of results.
struct Scratch<K> {
    packed: Vec<K>,
    row: Vec<K>,
}

impl<K: Copy + Default> Scratch<K> {
    /// For tiles of `tile` outputs.
    fn new(w: &Windows, tile: usize, inner: usize) -> Result<Self> {
        let span = (w.kernel - 1).saturating_mul(w.dilation).saturating_add(1);
        let reach = tile.saturating_mul(w.stride).saturating_add(span).min(w.in_len);
        Ok(Self { packed: scratch(reach * inner)?, row: scratch(tile * inner)? })
    }
}

impl<T: Ordered, B: Beats> Separable for Extrema<'_, T, B> {
    type Scratch = Scratch<T::Key>;
    type Slot = Vec<T::Key>;

    fn out_spatial(&self) -> [usize; 3] {
        self.windows.map(|w| w.out_len)
    }
    fn blocks(&self) -> usize {
        self.x.blocks()
    }
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.windows[axis].at(o)
    }
    fn column_bytes(&self) -> usize {
        self.x.inner * size_of::<T::Key>()
    }
    fn row_cost(&self) -> usize {
        let [d, h, w] = &self.windows;
        w.out_len * self.x.inner * (w.kernel + d.kernel * h.kernel)
    }
    fn scratch(&self, tile: usize) -> Result<Self::Scratch> {
        Scratch::new(&self.windows[2], tile, self.x.inner)
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        scratch(tile * self.x.inner)
    }

    fn across(&self, at: At, cols: &Range<usize>, s: &mut Self::Scratch, slot: &mut Self::Slot) {
        let ins = self.windows[2].inputs(cols.clone());
        let row: &[Cell<T::Key>] = self.x.load(T::KeyCodec::default(), at, &ins, &mut s.packed);
        let span = Span { src: row, from: ins.start, cols, inner: self.x.inner };
        simd::dispatch(reduce::Across {
            windows: &self.windows[2],
            inside: &self.inside,
            span,
            dst: slot,
            beats: B::default(),
        });
    }

    fn down(&self, at: At, cols: &Range<usize>, rows: &[(usize, At)], slots: &[Self::Slot], s: &mut Self::Scratch) {
        self.out.store(T::KeyCodec::default(), at, cols, &mut s.row, |dst| {
            let row = |j: usize| &slots[rows[j].0][..];
            simd::dispatch(reduce::Down { n: rows.len(), row, dst, beats: B::default() });
        });
    }
}

/// Runs a job on positions of type `I`: only blocks beyond 2^31 elements need the wide ones, where memory sets the pace,
/// so those are compiled for the baseline alone.
fn at_level<I, J: Job>(job: J) -> J::Output {
    if size_of::<I>() > 4 { job.run(Baseline) } else { simd::dispatch(job) }
}

/// Values and positions.
struct Located<'a, T: Ordered, I, O, B> {
    windows: &'a [Windows; 3],
    inside: Range<usize>,
    x: Grid<*const T>,
    out: Grid<*mut T>,
    indices: Grid<*mut O>,
    marker: PhantomData<(B, I)>,
}

impl<T: Ordered, I: Position, O: Stored, B: Beats> Separable for Located<'_, T, I, O, B> {
    type Scratch = (Scratch<T::Key>, Vec<T::Key>, Vec<O>);
    type Slot = (Vec<T::Key>, Vec<I>);

    fn out_spatial(&self) -> [usize; 3] {
        self.windows.map(|w| w.out_len)
    }
    fn blocks(&self) -> usize {
        self.x.blocks()
    }
    fn reach(&self, axis: usize, o: usize) -> Reach {
        self.windows[axis].at(o)
    }
    fn column_bytes(&self) -> usize {
        self.x.inner * (size_of::<T::Key>() + size_of::<I>())
    }
    fn row_cost(&self) -> usize {
        let [d, h, w] = &self.windows;
        2 * w.out_len * self.x.inner * (w.kernel + d.kernel * h.kernel)
    }
    fn scratch(&self, tile: usize) -> Result<Self::Scratch> {
        let rows = Scratch::new(&self.windows[2], tile, self.x.inner)?;
        let parts = if self.x.inner == 1 { split_room(rows.packed.len(), self.windows[2].stride) } else { 0 };
        Ok((rows, scratch(parts)?, scratch(tile * self.x.inner)?))
    }
    fn slot(&self, tile: usize) -> Result<Self::Slot> {
        Ok((scratch(tile * self.x.inner)?, scratch(tile * self.x.inner)?))
    }

    fn across(&self, at: At, cols: &Range<usize>, s: &mut Self::Scratch, slot: &mut Self::Slot) {
        let ins = self.windows[2].inputs(cols.clone());
        let row: &[Cell<T::Key>] = self.x.load(T::KeyCodec::default(), at, &ins, &mut s.0.packed);
        let n = cols.len() * self.x.inner;
        let (values, positions) = (&mut slot.0[..n], &mut slot.1[..n]);
        let span = Span { src: row, from: ins.start, cols, inner: self.x.inner };
        let beats = B::default();
        at_level::<I, _>(argmax::Across {
            windows: &self.windows[2],
            inside: &self.inside,
            span,
            parts: &mut s.1,
            values,
            positions,
            beats,
        });
    }

    fn down(&self, at: At, cols: &Range<usize>, rows: &[(usize, At)], slots: &[Self::Slot], s: &mut Self::Scratch) {
        let [_, h, w] = self.windows;
        let held = |j: usize| {
            let (slot, from) = rows[j];
            let (values, positions) = &slots[slot];
            (&values[..], &positions[..], I::of((from.d * h.in_len + from.h) * w.in_len))
        };
        let (s, _, stored) = s;
        self.out.store(T::KeyCodec::default(), at, cols, &mut s.row, |values| {
            self.indices.store(crate::element::Plain::<O>::default(), at, cols, stored, |positions| {
                let store = |i: I| O::of(i.wide());
                let beats = B::default();
                at_level::<I, _>(argmax::Down { n: rows.len(), row: held, values, positions, store, beats });
            });
        });
    }
}
