//! Sampling an array at points.
//!
//! This is the plan, and what forward and backward share: the points, and the table of what a run of them reads.
//! `grid_forward` and `grid_backward` run it.

use std::cell::Cell;
use std::ops::Range;

use half::{bf16, f16};

use crate::element::{Codec, Half, Plain, Real, Rounding};
use crate::engine::places::Places;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::At;
use crate::engine::simd;
use crate::error::{Error, Result, Shape};
use crate::geometry::grid::{Axis, FARTHEST, Filter, Outside};
use crate::geometry::window::AxisName;
use crate::kernels::grid::{AxisTaps, LOCATED, Locate, Weigh, Wide};
use crate::layout::{Axes, Canonical, Grid, View, ViewMut, element_count};

/// Elements that the corners of a run of points have.
const TABLE: usize = 1024;

/// The same where the planes that the points of a batch read are many [bytes](MANY): each run of points goes through them all, and
/// what one has brought into a cache the next finds there no more. (64 planes of 64 KiB, points anywhere: linear 5.3 ms with
/// the shorter table, 3.4 with this, cubic 15.5 and 9; for three planes the longer one takes a tenth longer.)
const LONG_TABLE: usize = 8192;

/// See [`LONG_TABLE`].
const MANY: usize = 1 << 20;

/// Runs there should be at least, for threads to share.
const RUNS: usize = 16;

/// Parameters of sampling at points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GridSampleParams {
    /// How elements around a point become its value.
    pub filter: Filter,
    /// What points outside the array read.
    pub outside: Outside,
    /// Whether coordinates -1 and 1 are the centres of the first and last element, not their outer edges.
    pub align_corners: bool,
    /// Rule for integer results.
    pub rounding: Rounding,
    /// Whether the channel axis of the array is the last one.
    pub channels_last: bool,
}

/// Coordinates of points, of any floating type.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the names say it all
pub enum Points<'a> {
    F16(View<'a, f16>),
    BF16(View<'a, bf16>),
    F32(View<'a, f32>),
    F64(View<'a, f64>),
}

/// Gradients of coordinates, of any floating type.
#[derive(Debug)]
#[allow(missing_docs)] // as above
pub enum PointsMut<'a> {
    F16(ViewMut<'a, f16>),
    BF16(ViewMut<'a, bf16>),
    F32(ViewMut<'a, f32>),
    F64(ViewMut<'a, f64>),
}

/// A checked sampling at points.
#[derive(Debug, Clone)]
pub struct GridPlan {
    axes: Axes,
    point_axes: Axes,
    /// Leading axes that array and points share.
    batch: usize,
    pub(super) rank: usize,
    pub(super) filter: Filter,
    outside: Outside,
    pub(super) rounding: Rounding,
    /// The rules of D, H and W.
    rules: [Axis; 3],
    /// Elements of the array along D, H and W.
    pub(super) lens: [usize; 3],
    /// Shape of the array.
    pub in_shape: Vec<usize>,
    /// Shape of the points.
    pub grid_shape: Vec<usize>,
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

impl GridPlan {
    /// Checks a sampling of an array of this shape, whose elements have `itemsize` bytes, at points of shape
    /// `grid_shape`: some of the array's leading axes, the result's spatial axes, and a point's coordinates, two or three
    /// of them, the last spatial axis' first.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn new(shape: &[usize], itemsize: usize, grid_shape: &[usize], p: &GridSampleParams) -> Result<Self> {
        let rank = match grid_shape.last() {
            Some(&n @ 2..=3) if grid_shape.len() > n => n,
            _ => return Err(refused_points(grid_shape, "(..., H, W, 2) or (..., D, H, W, 3)")),
        };
        if rank == 3 && shape.len() == 4 && grid_shape.len() == 4 {
            return Err(refused_points(grid_shape, "(N, H, W, 2) where x has 4 axes too"));
        }
        let axes = Axes::new(shape.len(), rank, p.channels_last)?;
        let point_axes = Axes::new(grid_shape.len(), rank, true)?;
        let batch = point_axes.first();
        if shape[..axes.first()].get(..batch) != Some(&grid_shape[..batch]) {
            let (found, x) = (Shape(grid_shape), Shape(shape));
            return Err(Error::value(format!("grid.shape = {found}: must begin with the first axes of x, {x}")));
        }
        let (lens, outs) = (axes.spatial(shape), point_axes.spatial(grid_shape));
        for a in 3 - rank..3 {
            let letter = AxisName { index: a + rank - 3, rank }.letter();
            if lens[a] == 0 {
                return Err(Error::value(format!("axis {letter} = 0 elements: must be at least 1")));
            }
            if lens[a] as f64 > FARTHEST {
                return Err(Error::value(format!("axis {letter} = {} elements: must be at most 2**50", lens[a])));
            }
            if outs[a] == 0 {
                return Err(refused_points(grid_shape, "without an axis of 0 points"));
            }
        }
        let out_shape = axes.with_spatial(shape, outs);
        element_count(&out_shape, itemsize)?;
        element_count(shape, itemsize)?; // the results of a backward
        element_count(grid_shape, 8)?;
        Ok(Self {
            axes,
            point_axes,
            batch,
            rank,
            filter: p.filter,
            outside: p.outside,
            rounding: p.rounding,
            rules: lens.map(|n| Axis::new(n, p.align_corners)),
            lens,
            in_shape: shape.to_vec(),
            grid_shape: grid_shape.to_vec(),
            out_shape,
        })
    }

    /// Whether the sampling copies elements, of whatever type.
    #[must_use]
    pub fn is_move(&self) -> bool {
        self.filter == Filter::Nearest
    }

    /// Refuses a gradient that has not the shape of the result.
    ///
    /// # Errors
    /// If so.
    pub fn check_grad(&self, shape: &[usize]) -> Result<()> {
        if shape != self.out_shape {
            let (found, wanted) = (Shape(shape), Shape(&self.out_shape));
            return Err(Error::value(format!("grad_output.shape = {found}: must be the result's, {wanted}")));
        }
        Ok(())
    }

    /// An array and one of the result's kind, each with the same blocks: those of a point's batch follow one another.
    /// Channels are inside where they lie so in the first.
    pub(super) fn canonical<P: Copy, Q: Copy>(
        &self,
        (ptr, x): (P, (&[usize], &[isize])),
        (other_ptr, other): (Q, (&[usize], &[isize])),
    ) -> (Grid<P>, Grid<Q>) {
        let Axes { rank, channels_last, ndim } = self.axes;
        let channels_axis = if channels_last { Some(ndim - 1) } else { self.axes.first().checked_sub(1) };
        let lies_inside = |a: usize| {
            let across = if channels_last { ndim - 2 } else { ndim - 1 };
            x.0[a] > 1 && x.1[a] == 1 && (channels_last || x.1[across].abs() != 1)
        };
        let inside = channels_axis.is_some_and(|a| (channels_last || a >= self.batch) && lies_inside(a));
        let mut grids = (
            Grid::channels_outside(ptr, x.0, x.1, rank, channels_last),
            Grid::channels_outside(other_ptr, other.0, other.1, rank, channels_last),
        );
        if inside {
            grids.0.move_channels_inside();
            grids.1.move_channels_inside();
        }
        grids
    }

    /// Batches of points.
    pub(super) fn batches(&self) -> usize {
        self.grid_shape[..self.batch].iter().product()
    }

    /// Points in canonical form.
    pub(super) fn located(&self, points: &Points<'_>) -> Located {
        let axes = &self.point_axes;
        match points {
            Points::F16(v) => Located::F16(v.grid_of(axes)),
            Points::BF16(v) => Located::BF16(v.grid_of(axes)),
            Points::F32(v) => Located::F32(v.grid_of(axes)),
            Points::F64(v) => Located::F64(v.grid_of(axes)),
        }
    }

    /// Where gradients of points go, in canonical form.
    pub(super) fn rising(&self, points: &mut PointsMut<'_>) -> Rising {
        let axes = &self.point_axes;
        match points {
            PointsMut::F16(v) => Rising::F16(v.grid_of(axes)),
            PointsMut::BF16(v) => Rising::BF16(v.grid_of(axes)),
            PointsMut::F32(v) => Rising::F32(v.grid_of(axes)),
            PointsMut::F64(v) => Rising::F64(v.grid_of(axes)),
        }
    }

    /// Bytes of the planes that the points of a batch read, of so many blocks of an array `x`; none where channels lie inside.
    pub(super) fn plane_bytes<T>(&self, x: &Grid<*const T>, blocks: usize) -> usize {
        let planes = if x.inner > 1 { 0 } else { blocks };
        self.lens.iter().fold(planes, |n, &len| n.saturating_mul(len)).saturating_mul(size_of::<T>())
    }

    /// Elements a point reads.
    pub(super) fn corners(&self) -> usize {
        self.filter.taps().pow(self.rank as u32)
    }
}

#[cold]
fn refused_points(shape: &[usize], wanted: &str) -> Error {
    Error::value(format!("grid.shape = {}: must be {wanted}", Shape(shape)))
}

/// Points in canonical form, coordinates inside.
pub(super) enum Located {
    F16(Grid<*const f16>),
    BF16(Grid<*const bf16>),
    F32(Grid<*const f32>),
    F64(Grid<*const f64>),
}

/// Gradients of points in canonical form.
pub(super) enum Rising {
    F16(Grid<*mut f16>),
    BF16(Grid<*mut bf16>),
    F32(Grid<*mut f32>),
    F64(Grid<*mut f64>),
}

/// Runs `$body` with the canonical array of any of the above and its codec.
macro_rules! each {
    ($of:expr, $kind:ident, $grid:ident, $codec:ident => $body:expr) => {
        match $of {
            $kind::F16($grid) => {
                let $codec = Half::<f16>::default();
                $body
            }
            $kind::BF16($grid) => {
                let $codec = Half::<bf16>::default();
                $body
            }
            $kind::F32($grid) => {
                let $codec = Plain::<f32>::default();
                $body
            }
            $kind::F64($grid) => {
                let $codec = Plain::<f64>::default();
                $body
            }
        }
    };
}

impl Located {
    /// Whether all points of a batch can be walked as one row.
    pub fn is_flat(&self) -> bool {
        each!(self, Self, grid, _codec => grid.spatial_is_flat())
    }

    /// As one row, after [`Located::is_flat`].
    pub fn flatten(&mut self) {
        each!(self, Self, grid, _codec => grid.flatten_spatial());
    }
}

impl Rising {
    /// See [`Located::is_flat`].
    pub fn is_flat(&self) -> bool {
        each!(self, Self, grid, _codec => grid.spatial_is_flat())
    }

    /// See [`Located::flatten`].
    pub fn flatten(&mut self) {
        each!(self, Self, grid, _codec => grid.flatten_spatial());
    }

    /// Stores the gradients of a run of points.
    pub fn store(&self, at: At, cols: &Range<usize>, values: &[f64]) -> Result<()> {
        each!(self, Self, grid, codec => store(grid, codec, at, cols, values))
    }
}

fn store<C: Codec<Computed: Real>>(
    grid: &Grid<*mut C::Stored>,
    codec: C,
    at: At,
    cols: &Range<usize>,
    values: &[f64],
) -> Result<()> {
    let mut row = scratch(values.len())?;
    row.iter_mut().zip(values).for_each(|(to, &v)| *to = C::Computed::of(v));
    grid.store_from(codec, at, cols, &mut row);
    Ok(())
}

/// How the points of each batch are cut into runs.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    height: usize,
    rows: usize,
    width: usize,
    per_row: usize,
    /// Most points of a run.
    pub run: usize,
}

impl Runs {
    /// For results of these lengths, of so many batches, whose points read so many elements; `bytes`: of the planes that the
    /// points of a batch read.
    pub fn new([depth, height, width]: [usize; 3], batches: usize, corners: usize, bytes: usize) -> Self {
        let rows = depth * height;
        let share = width.div_ceil(RUNS.div_ceil(batches.saturating_mul(rows).max(1)));
        let table = if bytes < MANY { TABLE } else { LONG_TABLE };
        let run = share.next_multiple_of(LOCATED).min((table / corners).clamp(LOCATED, table / 4));
        Self { height, rows, width, per_row: width.div_ceil(run), run }
    }

    /// Runs of a batch.
    pub fn of_batch(&self) -> usize {
        self.rows * self.per_row
    }

    /// Run `n` of batch `block`.
    pub fn at(&self, block: usize, n: usize) -> (At, Range<usize>) {
        let (row, start) = (n / self.per_row, n % self.per_row * self.run);
        (At { block, d: row / self.height, h: row % self.height }, start..(start + self.run).min(self.width))
    }
}

/// What a run of points reads, axis by axis. Made to be set again, run after run.
pub(super) struct Reading<'a> {
    plan: &'a GridPlan,
    points: &'a Located,
    /// What the coordinates read along D, H and W.
    pub axes: [AxisTaps; 3],
    /// Coordinates that cannot be read where they lie.
    packed: (Room<f32>, Room<f64>),
    /// Most points of a run: from one tap or corner to the next.
    pub run: usize,
    /// Points of this one.
    pub n: usize,
}

impl<'a> Reading<'a> {
    /// For runs of at most `run` points; `sloped`: with derivatives.
    pub fn new(plan: &'a GridPlan, points: &'a Located, run: usize, sloped: bool) -> Result<Self> {
        let taps = |a: usize| -> Result<AxisTaps> {
            let n = if a + plan.rank >= 3 { plan.filter.taps() * run } else { 0 };
            Ok(AxisTaps { at: scratch(n)?, weight: scratch(n)?, slope: scratch(if sloped { n } else { 0 })? })
        };
        let packed = (scratch(run * plan.rank)?, scratch(run * plan.rank)?);
        Ok(Self { plan, points, axes: [taps(0)?, taps(1)?, taps(2)?], packed, run, n: 0 })
    }

    /// Reads the points of a run: once, and from then on they are what they were.
    pub fn locate(&mut self, at: At, cols: &Range<usize>) {
        let Self { plan, axes, packed: (narrow, wide), run, .. } = self;
        self.n = cols.len();
        match self.points {
            Located::F16(grid) => plan.locate(grid.load(Half::<f16>::default(), at, cols, narrow), *run, axes),
            Located::BF16(grid) => plan.locate(grid.load(Half::<bf16>::default(), at, cols, narrow), *run, axes),
            Located::F32(grid) => plan.locate(grid.load(Plain::<f32>::default(), at, cols, narrow), *run, axes),
            Located::F64(grid) => plan.locate(grid.load(Plain::<f64>::default(), at, cols, wide), *run, axes),
        }
    }

    /// Weights of all corners.
    pub fn weigh<T: Real>(&self, weights: &mut [T]) {
        let GridPlan { rank, filter, .. } = *self.plan;
        let (axes, n, run) = (&self.axes, self.n, self.run);
        simd::dispatch(Weigh { axes, rank, taps: filter.taps(), n, run, weights });
    }

    /// Places of all corners.
    pub fn mark<T: Copy>(&self, places: &mut Places<'_, T>) {
        for axis in 3 - self.plan.rank..3 {
            for (tap, at) in self.axes[axis].at.chunks_exact(self.run).enumerate() {
                places.note(axis, tap, &at[..self.n]);
            }
        }
        places.combine(self.n);
    }
}

impl GridPlan {
    fn locate<R: Wide>(&self, points: &[Cell<R>], run: usize, axes: &mut [AxisTaps; 3]) {
        let rank = self.rank;
        for (which, taps) in axes.iter_mut().rev().take(rank).enumerate() {
            let (axis, rule) = (self.rules[2 - which], (self.filter, self.outside));
            let in_a_row = (which == 0 && self.lens[2] >= self.filter.taps()).then_some(self.lens[2]);
            simd::dispatch(Locate { axis, rule, points, rank, which, run, in_a_row, taps });
        }
    }
}
