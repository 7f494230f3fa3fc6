//! Sampling at points, backward.
//!
//! An element's gradient is a sum over the points that read it, taken in the order of the points: a unit of work is some
//! channels of a batch and a stretch of their elements, goes through all points, and keeps what falls into the stretch.
//! However an array is cut, every sum is the same. A coordinate's gradient is a sum over channels, which one unit takes.

use std::ops::Range;

use crate::element::{Codec, Linear};
use crate::engine::parallel;
use crate::engine::places::Places;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, as_cells, widen};
use crate::engine::simd;
use crate::error::Result;
use crate::kernels::grid::{Gathered, Lying, Number, Wide};
use crate::kernels::grid_gradient::{Meet, MeetChannels, MeetGathered, Spread, Steepen};
use crate::layout::{Grid, View, ViewMut};
use crate::ops::grid::{GridPlan, Located, Points, PointsMut, Reading, Rising, Runs};
use crate::ops::grid_forward::{LINE, bring, filled, gather};

/// Bytes of the sums of a stretch of elements, all channels included. (A second stretch means to look at all points
/// again, which costs more than sums that leave the L2 cache.)
const SUMS: usize = 4 << 20;
/// Most planes, and channels that lie side by side, whose sums are taken together.
const PLANES: usize = 16;
const CHANNELS: usize = 64;
/// Shortest stretch cut off only so that another thread has one.
const SHORTEST: usize = 1024;

impl GridPlan {
    /// The gradient of the array.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn input_grad<T: Linear<Sum: Wide>>(
        &self,
        grad: &View<'_, T>,
        points: &Points<'_>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.in_shape.contains(&0) {
            return Ok(());
        }
        let run = ToInput::new(self, T::sum_codec(self.rounding), grad, points, out);
        let units = self.batches() * run.cut.groups * run.cut.stretches;
        let points = run.runs.of_batch().saturating_mul(run.runs.run).saturating_mul(self.corners());
        let cost = points.saturating_add(run.cut.length).saturating_mul(run.cut.together);
        parallel::for_each(units, cost, |units| run.units(units))
    }

    /// The gradient of the points.
    ///
    /// # Errors
    /// As [`GridPlan::input_grad`].
    pub fn points_grad<T: Linear<Sum: Wide>>(
        &self,
        grad: &View<'_, T>,
        x: &View<'_, T>,
        points: &Points<'_>,
        out: &mut PointsMut<'_>,
    ) -> Result<()> {
        if self.grid_shape.contains(&0) {
            return Ok(());
        }
        let run = ToPoints::new(self, T::sum_codec(self.rounding), grad, x, points, out);
        let each = run.blocks.saturating_mul(run.x.inner).saturating_add(4);
        let cost = (run.runs.run * self.corners()).saturating_mul(each);
        parallel::for_each(self.batches() * run.runs.of_batch(), cost, |units| run.units(units))
    }
}

/// How the arrays of a batch are cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// Channels whose sums are taken together, and how many such groups there are.
    together: usize,
    groups: usize,
    /// Elements of a stretch, and how many there are.
    length: usize,
    stretches: usize,
}

impl Cut {
    /// For blocks of `inner` channels and `elements` elements each, if `sums` of them fit.
    fn new(batches: usize, blocks: usize, inner: usize, elements: usize, sums: usize) -> Self {
        let (groups, together) = if inner > 1 {
            let parts = inner.div_ceil(CHANNELS);
            (blocks * parts, inner.div_ceil(parts))
        } else {
            let groups = blocks.div_ceil(PLANES);
            (groups, blocks.div_ceil(groups))
        };
        let fitting = elements.div_ceil(sums / together);
        let (whole, wanted) = (batches.saturating_mul(groups), parallel::threads() * 2);
        let shared = wanted.div_ceil(whole.max(1)).min(elements.div_ceil(SHORTEST));
        let shared = if whole.saturating_mul(fitting) < wanted { shared } else { 1 };
        let length = elements.div_ceil(fitting.max(shared));
        Self { together, groups, length, stretches: elements.div_ceil(length) }
    }
}

struct ToInput<'a, C: Codec> {
    plan: &'a GridPlan,
    codec: C,
    points: Located,
    grad: Grid<*const C::Stored>,
    out: Grid<*mut C::Stored>,
    runs: Runs,
    /// Blocks of each batch.
    blocks: usize,
    cut: Cut,
}

impl<'a, C: Codec<Computed: Wide>> ToInput<'a, C> {
    fn new(
        plan: &'a GridPlan,
        codec: C,
        grad: &View<'_, C::Stored>,
        points: &Points<'_>,
        out: &mut ViewMut<'_, C::Stored>,
    ) -> Self {
        let mut points = plan.located(points);
        let (mut grad, mut out) =
            plan.canonical((grad.ptr, (grad.shape, grad.strides)), (out.ptr, (out.shape, out.strides)));
        if points.is_flat() && grad.spatial_is_flat() {
            points.flatten();
            grad.flatten_spatial();
        }
        if out.spatial_is_flat() {
            out.flatten_spatial();
        }
        let batches = plan.batches();
        let runs = Runs::new(grad.spatial, usize::MAX, plan.corners(), 0);
        let blocks = out.blocks() / batches;
        let sums = SUMS / size_of::<C::Computed>();
        let cut = Cut::new(batches, blocks, out.inner, plan.lens.iter().product(), sums);
        Self { plan, codec, points, grad, out, runs, blocks, cut }
    }

    fn units(&self, units: Range<usize>) -> Result<()> {
        let mut work = Spreading::new(self)?;
        for unit in units {
            let (rest, stretch) = (unit / self.cut.stretches, unit % self.cut.stretches);
            let elements: usize = self.plan.lens.iter().product();
            let first = stretch * self.cut.length;
            work.elements = first..(first + self.cut.length).min(elements);
            let (batch, group) = (rest / self.cut.groups, rest % self.cut.groups);
            if self.out.inner > 1 {
                let parts = self.cut.groups / self.blocks;
                let start = group % parts * self.cut.together;
                let channels = start..(start + self.cut.together).min(self.out.inner);
                work.channels(batch, batch * self.blocks + group / parts, &channels);
            } else {
                let start = group * self.cut.together;
                let planes = start..(start + self.cut.together).min(self.blocks);
                work.planes(batch, batch * self.blocks + planes.start..batch * self.blocks + planes.end);
            }
        }
        Ok(())
    }
}

/// A thread's scratch for the gradients of elements.
struct Spreading<'a, C: Codec> {
    run: &'a ToInput<'a, C>,
    reading: Reading<'a>,
    weights: Room<C::Computed>,
    numbers: Room<usize>,
    /// Gradients of a run of points, channels side by side.
    grads: Room<C::Computed>,
    /// One row of them, or of sums.
    line: Room<C::Computed>,
    sums: Room<C::Computed>,
    /// The stretch.
    elements: Range<usize>,
}

impl<'a, C: Codec<Computed: Wide>> Spreading<'a, C> {
    fn new(run: &'a ToInput<'a, C>) -> Result<Self> {
        let (plan, most, cut) = (run.plan, run.runs.run, run.cut);
        let corners = plan.corners();
        Ok(Self {
            run,
            reading: Reading::new(plan, &run.points, most, false)?,
            weights: scratch(corners * most)?,
            numbers: scratch(corners * most)?,
            grads: scratch(most * cut.together)?,
            line: scratch(LINE.max(most * cut.together))?,
            sums: scratch(cut.length * cut.together)?,
            elements: 0..0,
        })
    }

    /// The gradients of some planes.
    fn planes(&mut self, batch: usize, planes: Range<usize>) {
        let ToInput { codec, grad, out, runs, .. } = self.run;
        let together = planes.len();
        self.sums.fill(C::Computed::default());
        for n in 0..runs.of_batch() {
            let (at, cols) = runs.at(batch, n);
            if !self.locate(at, &cols) {
                continue;
            }
            for (g, block) in planes.clone().enumerate() {
                let line = grad.load(*codec, At { block, ..at }, &cols, &mut self.line);
                for (to, v) in self.grads[g..].iter_mut().step_by(together).zip(line) {
                    *to = v.get();
                }
            }
            self.spread(together);
        }
        for start in self.elements.clone().step_by(LINE) {
            let part = start..(start + LINE).min(self.elements.end);
            for (g, block) in planes.clone().enumerate() {
                let from = &self.sums[(part.start - self.elements.start) * together + g..];
                for (to, &v) in self.line[..part.len()].iter_mut().zip(from.iter().step_by(together)) {
                    *to = v;
                }
                store(out, *codec, block, part.clone(), &mut self.line);
            }
        }
    }

    /// The gradients of some channels of one block.
    fn channels(&mut self, batch: usize, block: usize, channels: &Range<usize>) {
        let ToInput { codec, grad, out, runs, .. } = self.run;
        let (grad, out, together) = (grad.of_channels(channels), out.of_channels(channels), channels.len());
        self.sums.fill(C::Computed::default());
        for n in 0..runs.of_batch() {
            let (at, cols) = runs.at(batch, n);
            if !self.locate(at, &cols) {
                continue;
            }
            let line = grad.load(*codec, At { block, ..at }, &cols, &mut self.line);
            for (to, v) in self.grads.iter_mut().zip(line) {
                *to = v.get();
            }
            self.spread(together);
        }
        store(&out, *codec, block, self.elements.clone(), &mut self.sums);
    }

    /// Reads a run of points; whether any may have read an element of the stretch.
    fn locate(&mut self, at: At, cols: &Range<usize>) -> bool {
        let GridPlan { rank, lens, filter, .. } = self.run.plan;
        let reading = &mut self.reading;
        reading.locate(at, cols);
        if self.run.cut.stretches > 1 {
            let (slowest, below) = if *rank == 3 { (0, lens[1] * lens[2]) } else { (1, lens[2]) };
            let (mut low, mut high) = (usize::MAX, 0);
            for at in reading.axes[slowest].at.chunks_exact(reading.run) {
                for &p in &at[..reading.n] {
                    (low, high) = (low.min(p), high.max(p));
                }
            }
            if (high + 1) * below <= self.elements.start || low * below >= self.elements.end {
                return false;
            }
        }
        reading.weigh(&mut self.weights);
        let (n, run, numbers, axes) = (reading.n, reading.run, &mut self.numbers, &reading.axes);
        simd::dispatch(Number { axes, rank: *rank, taps: filter.taps(), lens: [lens[1], lens[2]], n, run, numbers });
        true
    }

    fn spread(&mut self, inner: usize) {
        let (n, run, first) = (self.reading.n, self.reading.run, self.elements.start);
        let sums = &mut self.sums[..self.elements.len() * inner];
        let (weights, numbers, grad) = (&self.weights, &self.numbers, &self.grads[..n * inner]);
        simd::dispatch(Spread { weights, numbers, run, grad, inner, first, sums });
    }
}

/// Stores a stretch of elements of a block, row by row.
fn store<C: Codec>(
    out: &Grid<*mut C::Stored>,
    codec: C,
    block: usize,
    elements: Range<usize>,
    mut values: &mut [C::Computed],
) {
    let [_, height, width] = out.spatial;
    let mut start = elements.start;
    while start < elements.end {
        let (row, col) = (start / width, start % width);
        let cols = col..(col + elements.end - start).min(width);
        start += cols.len();
        let (now, later) = values.split_at_mut(cols.len() * out.inner);
        out.store_from(codec, At { block, d: row / height, h: row % height }, &cols, now);
        values = later;
    }
}

struct ToPoints<'a, C: Codec> {
    plan: &'a GridPlan,
    codec: C,
    points: Located,
    grad: Grid<*const C::Stored>,
    x: Grid<*const C::Stored>,
    out: Rising,
    runs: Runs,
    /// Blocks of each batch; none where an array is empty or nothing follows the coordinates.
    blocks: usize,
}

impl<'a, C: Codec<Computed: Wide>> ToPoints<'a, C> {
    fn new(
        plan: &'a GridPlan,
        codec: C,
        grad: &View<'_, C::Stored>,
        x: &View<'_, C::Stored>,
        points: &Points<'_>,
        out: &mut PointsMut<'_>,
    ) -> Self {
        let (mut points, mut out) = (plan.located(points), plan.rising(out));
        let (x, mut grad) = plan.canonical((x.ptr, (x.shape, x.strides)), (grad.ptr, (grad.shape, grad.strides)));
        if points.is_flat() && out.is_flat() && grad.spatial_is_flat() {
            points.flatten();
            out.flatten();
            grad.flatten_spatial();
        }
        let nothing = plan.is_move() || plan.in_shape.contains(&0);
        let blocks = if nothing { 0 } else { x.blocks() / plan.batches() };
        let runs = Runs::new(grad.spatial, plan.batches(), plan.corners(), plan.plane_bytes(&x, blocks));
        Self { plan, codec, points, grad, x, out, runs, blocks }
    }

    fn units(&self, units: Range<usize>) -> Result<()> {
        let of_batch = self.runs.of_batch();
        if self.blocks == 0 {
            let zeros = scratch(self.runs.run * self.plan.rank)?;
            for unit in units {
                let (at, cols) = self.runs.at(unit / of_batch, unit % of_batch);
                self.out.store(at, &cols, &zeros[..cols.len() * self.plan.rank])?;
            }
            return Ok(());
        }
        let mut work = Meeting::new(self)?;
        for unit in units {
            let (at, cols) = self.runs.at(unit / of_batch, unit % of_batch);
            work.points(at, &cols)?;
        }
        Ok(())
    }
}

/// A thread's scratch for the gradients of points.
struct Meeting<'a, C: Codec> {
    run: &'a ToPoints<'a, C>,
    reading: Reading<'a>,
    places: Places<'a, C::Stored>,
    /// Gradients of a run of points.
    line: Room<C::Computed>,
    packed: Room<C::Computed>,
    /// Sums of all corners.
    sums: Room<C::Computed>,
    slopes: Room<f64>,
    /// Elements that are stored in another type than is computed with.
    stored: Vec<C::Stored>,
    gathered: Room<C::Computed>,
    /// Points whose channels are read at once.
    some: usize,
}

impl<'a, C: Codec<Computed: Wide>> Meeting<'a, C> {
    fn new(run: &'a ToPoints<'a, C>) -> Result<Self> {
        let (plan, most, inner) = (run.plan, run.runs.run, run.x.inner);
        let corners = plan.corners();
        let places = Places::new(&run.x, plan.rank, plan.filter.taps(), most)?;
        let room = if C::SAME { inner } else { inner * corners };
        let some = if inner > 1 { (LINE / room).clamp(1, most) } else { most };
        let gathered = if C::SAME { 0 } else { some * inner * corners };
        Ok(Self {
            run,
            reading: Reading::new(plan, &run.points, most, true)?,
            line: scratch(some * inner)?,
            packed: scratch(some * inner)?,
            sums: scratch(corners * most)?,
            slopes: scratch(most * plan.rank)?,
            stored: filled(gathered, places.of_block(0).get(0))?,
            gathered: scratch(gathered)?,
            places,
            some,
        })
    }

    fn points(&mut self, at: At, cols: &Range<usize>) -> Result<()> {
        let ToPoints { plan, x, out, blocks, .. } = self.run;
        self.reading.locate(at, cols);
        self.reading.mark(&mut self.places);
        self.sums.fill(C::Computed::default());
        let blocks = at.block * blocks..(at.block + 1) * blocks;
        if x.inner > 1 {
            blocks.for_each(|block| self.channels(At { block, ..at }, cols));
        } else {
            blocks.for_each(|block| self.plane(At { block, ..at }, cols));
        }
        let grad = &mut self.slopes[..cols.len() * plan.rank];
        let (rank, taps, run) = (plan.rank, plan.filter.taps(), self.reading.run);
        simd::dispatch(Steepen { axes: &self.reading.axes, rank, taps, sums: &self.sums, run, grad: &mut *grad });
        out.store(at, cols, grad)
    }

    fn plane(&mut self, at: At, cols: &Range<usize>) {
        let (codec, n, run) = (self.run.codec, self.reading.n, self.reading.run);
        let packed = self.run.grad.load(codec, at, cols, &mut self.packed);
        let (grad, sums) = (&mut self.line[..n], &mut self.sums);
        grad.iter_mut().zip(packed).for_each(|(to, v)| *to = v.get());
        let block = self.places.of_block(at.block);
        if let Some(block) = block.computed::<C>() {
            return simd::dispatch(Meet { block, grad, run, sums });
        }
        bring(codec, &block, run, n, (&mut self.stored, &mut self.gathered));
        simd::dispatch(MeetGathered { values: &self.gathered, grad, run, sums });
    }

    fn channels(&mut self, at: At, cols: &Range<usize>) {
        let ToPoints { codec, grad, x, plan, .. } = self.run;
        let (n, run, inner) = (self.reading.n, self.reading.run, x.inner);
        let block = self.places.of_block(at.block);
        for first in (0..n).step_by(self.some) {
            let points = first..(first + self.some).min(n);
            let cols = cols.start + points.start..cols.start + points.end;
            let line = &mut self.line[..points.len() * inner];
            let packed = grad.load(*codec, at, &cols, &mut self.packed);
            line.iter_mut().zip(packed).for_each(|(to, v)| *to = v.get());
            let (grad, sums) = (&*line, &mut self.sums);
            if let Some(block) = block.computed::<C>() {
                simd::dispatch(MeetChannels { source: Lying { block, run }, grad, inner, first, run, sums });
            } else {
                let size = gather(&block, run, plan.corners(), &points, inner, &mut self.stored);
                let values = &mut self.gathered[..size];
                widen(*codec, &mut self.stored[..size], values);
                let source = Gathered { values: as_cells(values), first, n: points.len(), inner };
                simd::dispatch(MeetChannels { source, grad, inner, first, run, sums });
            }
        }
    }
}
