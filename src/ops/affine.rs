//! Grids of points under an affine map.

use std::ops::Range;

use ndarray::ArrayViewMut2;

use crate::element::{Codec, Linear, Plain, Real, Rounding};
use crate::engine::parallel;
use crate::engine::room::scratch;
use crate::engine::rows::At;
use crate::engine::simd;
use crate::error::{Error, Result, Shape};
use crate::geometry::taps::{append, reserved};
use crate::geometry::window::AxisName;
use crate::kernels::affine::{Fold, Map};
use crate::kernels::grid::Wide;
use crate::layout::{Axes, Grid, View, ViewMut, element_count};

/// Points whose gradients one unit of work sums.
const POINTS: usize = 1 << 14;

/// Most entries of a matrix.
const ENTRIES: usize = 12;

/// A checked grid of points.
#[derive(Debug, Clone)]
pub struct AffinePlan {
    /// The last two axes of the matrices.
    matrix: Axes,
    /// Of the grid.
    axes: Axes,
    rank: usize,
    align_corners: bool,
    spatial: [usize; 3],
    /// Shape of the matrices.
    pub theta_shape: Vec<usize>,
    /// Shape of the points.
    pub grid_shape: Vec<usize>,
}

impl AffinePlan {
    /// Checks matrices of this shape, whose elements have `itemsize` bytes, for the points of an array of shape `size`.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn new(
        theta: &[usize],
        itemsize: usize,
        size: &[usize],
        align_corners: bool,
        channels_last: bool,
    ) -> Result<Self> {
        let (batch, rank) = match theta {
            [batch @ .., rank @ 2..=3, columns] if *columns == rank + 1 => (batch, *rank),
            _ => {
                return Err(Error::value(format!(
                    "theta.shape = {}: must be (..., 2, 3) or (..., 3, 4)",
                    Shape(theta)
                )));
            }
        };
        let (found, matrices) = (Shape(size), Shape(theta));
        let least = batch.len() + rank + usize::from(channels_last);
        if size.len() < least {
            return Err(Error::value(format!(
                "size = {found}: must have at least {least} entries for theta of shape {matrices}"
            )));
        }
        if size[..batch.len()] != *batch {
            return Err(Error::value(format!("size = {found}: must begin with the first axes of theta, {matrices}")));
        }
        let spatial = Axes::new(size.len(), rank, channels_last)?.spatial(size);
        if let Some(a) = (3 - rank..3).find(|&a| spatial[a] == 0) {
            let letter = AxisName { index: a + rank - 3, rank }.letter();
            return Err(Error::value(format!("size = {found}: axis {letter} must have at least 1 element")));
        }
        let mut grid_shape = batch.to_vec();
        grid_shape.extend_from_slice(&spatial[3 - rank..]);
        grid_shape.push(rank);
        element_count(&grid_shape, itemsize)?;
        element_count(theta, itemsize)?; // the result of a backward
        Ok(Self {
            matrix: Axes::new(theta.len(), 2, false)?,
            axes: Axes::new(grid_shape.len(), rank, true)?,
            rank,
            align_corners,
            spatial,
            theta_shape: theta.to_vec(),
            grid_shape,
        })
    }

    /// The coordinate of element `i` of an axis: -1 and 1 are the centres of its ends, or their outer edges.
    fn coordinate(&self, i: usize, len: usize) -> f64 {
        let (i, len) = (i as f64, len as f64);
        match self.align_corners {
            true if len == 1.0 => 0.0,
            true => (2.0 * i - (len - 1.0)) / (len - 1.0),
            false => (2.0 * i + 1.0 - len) / len,
        }
    }

    /// The coordinates along W.
    fn along(&self) -> Result<Vec<f64>> {
        let width = self.spatial[2];
        let mut along = reserved(width)?;
        along.extend((0..width).map(|i| self.coordinate(i, width)));
        Ok(along)
    }

    /// Rows of a batch, and one row's coordinates along H and D.
    fn rows(&self) -> usize {
        self.spatial[0] * self.spatial[1]
    }

    fn row(&self, block: usize, row: usize) -> (At, [f64; 2]) {
        let [depth, height, _] = self.spatial;
        let (d, h) = (row / height, row % height);
        (At { block, d, h }, [self.coordinate(h, height), self.coordinate(d, depth)])
    }

    /// The points.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn forward<T: Linear<Sum: Wide>>(&self, theta: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        if self.grid_shape.contains(&0) {
            return Ok(());
        }
        let codec = T::sum_codec(Rounding::Nearest);
        let (theta, out) = (theta.grid_of(&self.matrix), out.grid_of(&self.axes));
        let (along, rows, cols) = (self.along()?, self.rows(), 0..self.spatial[2]);
        parallel::for_each(theta.blocks() * rows, cols.len() * self.rank, |units| {
            let mut line = scratch(cols.len() * self.rank)?;
            for unit in units {
                let (at, across) = self.row(unit / rows, unit % rows);
                let lines = self.lines(&theta, at.block, across);
                out.store(codec, at, &cols, &mut line, |dst| {
                    simd::dispatch(Map { along: &along, lines: &lines[..self.rank], dst });
                });
            }
            Ok(())
        })
    }

    /// Each coordinate of the images of a row of points, as a line in the coordinate along the row.
    fn lines<T: Linear<Sum: Wide>>(&self, theta: &Grid<*const T>, block: usize, [y, z]: [f64; 2]) -> [[f64; 2]; 3] {
        let codec = T::sum_codec(Rounding::Nearest);
        let mut lines = [[0.0; 2]; 3];
        for (h, [slope, start]) in lines.iter_mut().take(self.rank).enumerate() {
            let entry = |w: usize| codec.load(theta.get(At { block, d: 0, h }, w, 0)).wide();
            *slope = entry(0);
            let depth = if self.rank == 3 { entry(2) * z } else { 0.0 };
            *start = entry(1) * y + depth + entry(self.rank);
        }
        lines
    }

    /// The gradient of the matrices.
    ///
    /// # Errors
    /// As [`AffinePlan::forward`].
    pub fn backward<T: Linear<Sum: Wide>>(&self, grad: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        if self.theta_shape.contains(&0) {
            return Ok(());
        }
        let (grad, mut out) = (grad.grid_of(&self.axes), out.grid_of(&self.matrix));
        // Sums of some rows each, by the shape alone; then the sums of these, in order.
        let together = (POINTS / self.spatial[2]).clamp(1, self.rows());
        let parts = self.rows().div_ceil(together);
        element_count(&[grad.blocks(), parts, ENTRIES], size_of::<f64>())?;
        let mut sums = scratch(grad.blocks() * parts * ENTRIES)?;
        let mut partial = ArrayViewMut2::from_shape((grad.blocks() * parts, ENTRIES), &mut sums)
            .map_err(|_| Error::memory("cannot allocate a table of sums"))?
            .into_dyn();
        self.sum_rows(&grad, (together, parts), &mut ViewMut::from(&mut partial))?;
        let mut rows = Vec::new();
        append(&mut rows, partial.as_slice().unwrap_or_default().chunks_exact(ENTRIES))?;
        self.store(&rows, parts, &mut out)
    }

    fn sum_rows<T: Linear<Sum: Wide>>(
        &self,
        grad: &Grid<*const T>,
        (together, parts): (usize, usize),
        partial: &mut ViewMut<'_, f64>,
    ) -> Result<()> {
        let partial = partial.grid_of(&Axes::new(2, 1, false)?);
        let (along, cols, codec) = (self.along()?, 0..self.spatial[2], T::sum_codec(Rounding::Nearest));
        let cost = (cols.len() * self.rank).saturating_mul(together);
        parallel::for_each(grad.blocks() * parts, cost, |units| {
            let mut packed = scratch(cols.len() * self.rank)?;
            for unit in units {
                let (block, part) = (unit / parts, unit % parts);
                let mut entries = [0.0; ENTRIES];
                for row in part * together..((part + 1) * together).min(self.rows()) {
                    let (at, across) = self.row(block, row);
                    let mut sums = [[0.0; 2]; 3];
                    let grad = grad.load(codec, at, &cols, &mut packed);
                    simd::dispatch(Fold { along: &along, grad, sums: &mut sums[..self.rank] });
                    self.add_row(&sums, across, &mut entries);
                }
                partial.store_from(Plain::default(), At { block: unit, d: 0, h: 0 }, &(0..ENTRIES), &mut entries);
            }
            Ok(())
        })
    }

    /// Adds what one row's sums give to each entry.
    fn add_row(&self, sums: &[[f64; 2]; 3], [y, z]: [f64; 2], entries: &mut [f64; ENTRIES]) {
        let columns = self.rank + 1;
        for (entries, [times, plain]) in entries.chunks_exact_mut(columns).zip(sums).take(self.rank) {
            entries[0] += times;
            entries[1] += plain * y;
            if self.rank == 3 {
                entries[2] += plain * z;
            }
            entries[self.rank] += plain;
        }
    }

    fn store<T: Linear<Sum: Wide>>(&self, rows: &[&[f64]], parts: usize, out: &mut Grid<*mut T>) -> Result<()> {
        let columns = self.rank + 1;
        let all: Range<usize> = 0..columns;
        for (block, rows) in rows.chunks_exact(parts).enumerate() {
            let mut entries = [0.0; ENTRIES];
            for row in rows {
                entries.iter_mut().zip(*row).for_each(|(sum, v)| *sum += v);
            }
            let mut line = scratch(columns)?;
            for (h, entries) in entries.chunks_exact(columns).take(self.rank).enumerate() {
                line.iter_mut().zip(entries).for_each(|(to, &v)| *to = Real::of(v));
                out.store_from(T::sum_codec(Rounding::Nearest), At { block, d: 0, h }, &all, &mut line);
            }
        }
        Ok(())
    }
}
