//! Regions of interest, forward.
//!
//! Channels are best computed side by side. If an image's channels do not lie so, a block of them is brought side by
//! side first, for all boxes on the image; that is four times as fast as box by box in each plane, which is left for
//! few boxes, few channels and planes too large for it.

use std::cell::Cell;
use std::ops::Range;

use crate::element::{Codec, Linear, Ordered};
use crate::engine::parallel;
use crate::engine::room::{Room, scratch};
use crate::engine::rows::{At, Readable, Writable, as_cells};
use crate::engine::simd;
use crate::error::Result;
use crate::kernels::roi::{Across, Down, Join, Lanes, Largest, Peak, Sum};
use crate::layout::{View, ViewMut};
use crate::ops::roi::{RoiMode, RoiPlan};
use crate::ops::roi_sides::{Reader, Sides, Whole, turn};

/// Elements of planes that boxes are computed from one after the other: half of the L2 cache as `f32`.
const CACHED: usize = 128 << 10;
/// Bytes of planes that are brought side by side at most.
const GATHERED_BYTES: usize = 2 << 20;
/// Fewest planes worth bringing side by side.
const FEWEST: usize = 8;
/// Most of them: two vectors of `f32`.
const MOST: usize = 32;
/// Elements of an image that a unit of work brings side by side, at most, to those its boxes take.
const SHARE: usize = 4;
/// Fewest planes worth making a box's tables for.
const TABLES: usize = 16;
/// Elements of a result that are computed before they are stored.
const LINE: usize = 4096;
/// Elements of folded rows that are held at once.
const FOLDED: usize = 32 << 10;
/// Folded rows held at once.
const GROUP: usize = 8;

impl RoiPlan {
    /// `RoiAlign`.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn align_forward<T: Linear>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        let codec = T::sum_codec(self.rounding);
        match self.mode {
            RoiMode::Average => self.forward::<Sum<T::Sum>, _>(codec, x, out),
            RoiMode::Maximum => self.forward::<Peak<T::Sum>, _>(codec, x, out),
        }
    }

    /// `RoiPool`.
    ///
    /// # Errors
    /// As [`RoiPlan::align_forward`].
    pub fn pool_forward<T: Ordered>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        self.forward::<Largest<T::Key>, _>(T::KeyCodec::default(), x, out)
    }

    fn forward<J: Join, C: Codec<Computed = J::Value>>(
        &self,
        codec: C,
        x: &View<'_, C::Stored>,
        out: &mut ViewMut<'_, C::Stored>,
    ) -> Result<()> {
        if self.out_shape.contains(&0) {
            return Ok(());
        }
        let inside = self.side_by_side(x);
        let (x, out) = (self.reading(x, inside), self.writing(out, inside));
        let flat = out.spatial_is_flat().then(|| {
            let mut flat = out.clone();
            flat.flatten_spatial();
            flat
        });
        let (x, out, flat) = ((codec, x), (codec, out), flat.map(|flat| (codec, flat)));
        let flat = flat.as_ref().map(|flat| flat as &dyn Writable<J::Value>);
        Forward::<J> { plan: self, x: &x, out: &out, flat }.run()
    }

    /// How many planes to bring side by side; none if that is not worth it.
    pub(super) fn worth_gathering(&self, itemsize: usize, planes: usize) -> Option<usize> {
        let area = self.lens[0].saturating_mul(self.lens[1]);
        let taken = self.mean_area().saturating_mul(self.boxes.len());
        let room = (GATHERED_BYTES / itemsize) / area;
        if planes < FEWEST || room < FEWEST || taken < area.saturating_mul(self.images) {
            return None;
        }
        let together = (CACHED / area).clamp(FEWEST, MOST);
        Some(planes.div_ceil(planes.div_ceil(together))) // all blocks of about the same size
    }
}

struct Forward<'a, J: Join> {
    plan: &'a RoiPlan,
    x: &'a dyn Readable<J::Value>,
    out: &'a dyn Writable<J::Value>,
    /// `out` with all spatial axes as one, if they can be.
    flat: Option<&'a dyn Writable<J::Value>>,
}

impl<J: Join> Forward<'_, J> {
    fn run(&self) -> Result<()> {
        match self.plan.worth_gathering(size_of::<J::Value>(), self.x.lens().0[0]) {
            Some(together) => self.gathered(together),
            None => self.in_planes(),
        }
    }

    /// Box by box, in each plane where it lies (or its channels, if they lie inside).
    fn in_planes(&self) -> Result<()> {
        let ([planes, ..], inner) = self.x.lens();
        let boxes = self.plan.boxes.len();
        let [height, width] = self.plan.lens;
        let together = (CACHED / height.saturating_mul(width)).max(TABLES).min(planes);
        let cost = self.plan.mean_area().saturating_mul(together * inner);
        // Boxes fastest, so that the planes they read stay in the cache.
        parallel::for_each(planes.div_ceil(together) * boxes, cost, |units| {
            let mut work = Work::<J>::new(self, inner)?;
            for unit in units {
                let first = unit / boxes * together;
                work.planes(unit % boxes, first..(first + together).min(planes))?;
            }
            Ok(())
        })
    }

    /// Some planes of an image side by side, and then its boxes.
    fn gathered(&self, together: usize) -> Result<()> {
        let (order, planes) = (self.plan.order()?, self.x.lens().0[0]);
        let [height, width] = self.plan.lens;
        let (taken, area) = (self.plan.mean_area().saturating_mul(order.len()), height * width);
        // So many parts of an image's boxes that bringing planes side by side stays a small share of the work.
        let parts = (taken / self.plan.images / area / SHARE).max(1);
        let groups = planes.div_ceil(together);
        let units = self.plan.images * groups * parts;
        let cost = (taken / (self.plan.images * parts)).saturating_add(area).saturating_mul(together);
        parallel::for_each(units, cost, |units| {
            let mut work = Work::<J>::new(self, together)?;
            let mut rows = scratch(area * together)?;
            let mut held = None;
            for unit in units {
                let (rest, part) = (unit / parts, unit % parts);
                let (image, first) = (rest / groups, rest % groups * together);
                let planes = first..(first + together).min(planes);
                let all = &order[self.plan.boxes_of(image, &order)];
                let boxes = &all[all.len() * part / parts..all.len() * (part + 1) / parts];
                if boxes.is_empty() {
                    continue;
                }
                if held != Some(rest) {
                    let row = width * planes.len();
                    for (h, to) in rows.chunks_exact_mut(row).take(height).enumerate() {
                        work.reader.gather(image, &planes, h, &(0..width), to)?;
                    }
                    held = Some(rest);
                }
                for &k in boxes {
                    work.side_by_side(k, &planes, as_cells(&mut rows))?;
                }
            }
            Ok(())
        })
    }
}

/// A thread's scratch.
struct Work<'a, J: Join> {
    run: &'a Forward<'a, J>,
    reader: Reader<'a, J::Value>,
    sides: Sides<J>,
    lanes: Lanes<J::Weight>,
    folded: Room<J::Value>,
    /// Results that are computed together: some rows of one plane, or whole planes.
    line: Room<J::Value>,
    rows: usize,
    planes: usize,
    /// The same, as they are stored.
    turned: Room<J::Value>,
}

impl<'a, J: Join> Work<'a, J> {
    /// For results of `inner` channels side by side.
    fn new(run: &'a Forward<'a, J>, inner: usize) -> Result<Self> {
        let [height, width] = run.plan.bins;
        let row = width * inner;
        let rows = (LINE / row).clamp(1, height);
        let planes = if rows == height { (LINE / (rows * row)).max(1) } else { 1 };
        Ok(Self {
            run,
            reader: Reader::new(run.x),
            sides: Sides::default(),
            lanes: Lanes::default(),
            folded: Room::default(),
            line: scratch(planes * rows * row)?,
            rows,
            planes,
            turned: if inner > run.x.lens().1 { scratch(rows * row)? } else { Room::default() },
        })
    }

    /// Makes the tables of box `k`, and tells whether it takes anything.
    fn set(&mut self, k: usize, inner: usize) -> Result<bool> {
        let (plan, roi) = (self.run.plan, &self.run.plan.boxes[k]);
        let taken = self.sides.set_rows(plan, roi)? & self.sides.set_columns(plan, roi, inner)?;
        if taken && inner == 1 {
            J::side_by_side(&self.sides.x_bins(), &self.sides.columns, &mut self.lanes);
        }
        Ok(taken)
    }

    /// One box on some planes of its image, in each plane.
    fn planes(&mut self, k: usize, planes: Range<usize>) -> Result<()> {
        let (plan, inner) = (self.run.plan, self.run.x.lens().1);
        let (image, taken) = (plan.boxes[k].image, self.set(k, inner)?);
        let (mut none, mut line) = (Room::default(), std::mem::take(&mut self.line));
        let lying = if taken { self.reader.lying(image, &self.sides.cols, &mut none)? } else { None };
        for first in planes.clone().step_by(self.planes) {
            let planes = first..(first + self.planes).min(planes.end);
            for top in (0..plan.bins[0]).step_by(self.rows) {
                let rows = top..(top + self.rows).min(plan.bins[0]);
                let size = rows.len() * plan.bins[1] * inner;
                for (plane, line) in planes.clone().zip(line.chunks_exact_mut(size)) {
                    self.reader.restart();
                    let whole = lying.map(|rows| Whole::Lying(rows, plane));
                    self.compute(whole, (image, &(plane..plane + 1)), &rows, line, taken)?;
                }
                self.store(k, &planes, &rows, &mut line);
            }
        }
        self.line = line;
        Ok(())
    }

    /// One box on some planes of its image, which are in `image`, side by side.
    fn side_by_side(&mut self, k: usize, planes: &Range<usize>, image: &[Cell<J::Value>]) -> Result<()> {
        let (plan, inner) = (self.run.plan, planes.len());
        let taken = self.set(k, inner)?;
        let whole = Some(Whole::Gathered(image, plan.lens[1] * inner));
        let (mut line, mut turned) = (std::mem::take(&mut self.line), std::mem::take(&mut self.turned));
        for top in (0..plan.bins[0]).step_by(self.rows) {
            let rows = top..(top + self.rows).min(plan.bins[0]);
            let one = rows.len() * plan.bins[1];
            let line = &mut line[..one * inner];
            self.compute(whole, (plan.boxes[k].image, planes), &rows, line, taken)?;
            turn(line, inner, &mut turned[..one * inner]);
            if rows.len() == plan.bins[0] {
                self.store(k, planes, &rows, &mut turned);
            } else {
                for (plane, turned) in planes.clone().zip(turned.chunks_exact_mut(one)) {
                    self.store(k, &(plane..plane + 1), &rows, turned);
                }
            }
        }
        (self.line, self.turned) = (line, turned);
        Ok(())
    }

    /// Rows `rows` of the result of planes of an image.
    fn compute(
        &mut self,
        whole: Option<Whole<'_, J::Value>>,
        at: (usize, &Range<usize>),
        rows: &Range<usize>,
        line: &mut [J::Value],
        taken: bool,
    ) -> Result<()> {
        let Self { run, reader, sides, lanes, folded, .. } = self;
        if !taken {
            line.fill(J::Value::default());
            return Ok(());
        }
        let (width, inner, used) = (sides.width, sides.inner, &sides.y.used);
        let across = run.plan.bins[1] * inner;
        let group = (FOLDED / width).clamp(1, GROUP);
        if folded.len() < group * width {
            *folded = scratch(group * width)?;
        }
        for (first, line) in rows.clone().step_by(group).zip(line.chunks_mut(group * across)) {
            let which = first..(first + group).min(rows.end);
            let (bins, dst) = (sides.y_bins(), &mut folded[..which.len() * width]);
            if let Some(whole) = whole {
                let (src, window) = (whole.held(used, sides.cols.start * inner), 0..used.len());
                let (which, runs) = (which.clone(), &sides.runs);
                simd::dispatch(Down::<J, _> { src, window, bins, which, runs, width, dst });
            } else {
                let places = sides.places(&which);
                if places.is_empty() {
                    dst.fill(J::Value::default());
                }
                let mut next = places.start;
                while next < places.end {
                    let (src, window) = reader.pack(sides, at, next)?;
                    next = window.end;
                    let (which, runs, dst) = (which.clone(), &sides.packed_runs, &mut *dst);
                    simd::dispatch(Down::<J, _> { src, window, bins, which, runs, width, dst });
                }
            }
            simd::dispatch(Across::<J> {
                bins: sides.x_bins(),
                columns: &sides.columns,
                lanes,
                zeros: &sides.y.zeros[which.clone()],
                src: &folded[..which.len() * width],
                width,
                inner,
                dst: line,
            });
        }
        Ok(())
    }

    /// Stores rows of planes of the result of box `block`; all rows, if there are several planes.
    fn store(&self, block: usize, planes: &Range<usize>, rows: &Range<usize>, line: &mut [J::Value]) {
        let Forward { plan, out, flat, .. } = self.run;
        let [height, width] = plan.bins;
        if let Some(flat) = flat {
            let start = planes.start * height + rows.start;
            let cols = start * width..(start + planes.len() * rows.len()) * width;
            flat.write(At { block, d: 0, h: 0 }, &cols, line);
            return;
        }
        let mut lines = line.chunks_exact_mut(width * out.lens().1);
        for d in planes.clone() {
            for (h, line) in rows.clone().zip(&mut lines) {
                out.write(At { block, d, h }, &(0..width), line);
            }
        }
    }
}
