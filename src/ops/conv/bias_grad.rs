//! The gradient of a convolution's bias: the sums of the gradient's channels.
//!
//! A row is summed in as many lanes as fit the widest vectors, these one after the other, and then the rows: the same sums
//! whether a channel's rows are read where they lie or, if they are short or lie channels-last, channels side by side.
//! (Eight times 96 channels of 56 x 56, channels-last, took 4.2 ms row after row and take 0.6 side by side.)

use std::ops::Range;

use super::channels::{BAND_BYTES, FEWEST, MOST_BYTES, SOME_CHANNELS, Staged, pitch};
use crate::element::{Laned, Multiplied, Ring};
use crate::engine::channels::{LANES, RowSums};
use crate::engine::parallel::{self, Pause};
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::At;
use crate::engine::simd;
use crate::error::Result;
use crate::layout::Grid;

/// Longest rows that are better turned.
const NARROW: usize = 40;

/// The gradient and the result.
pub struct BiasGrad<T> {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// The gradient.
    pub grad: Grid<*const T>,
    /// The gradient of the bias.
    pub out: Grid<*mut T>,
}

impl<T: Multiplied> BiasGrad<T> {
    /// Computes it.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn run(&self) -> Result<()> {
        let [d, h, w] = self.grad.spatial;
        let side_by_side = const { <T::Product as Laned>::LARGEST.1 > 2 }
            && self.channels >= FEWEST
            && (w <= NARROW || self.grad.lies_channels_last());
        if side_by_side {
            let at_once = self.channels.min(SOME_CHANNELS);
            let row = w.saturating_mul(pitch::<T::Product>(at_once) * size_of::<T::Product>());
            if row <= MOST_BYTES {
                let rows = (BAND_BYTES / row.max(1)).clamp(1, h);
                let cost = self.batch.max(1) * d * h * w * at_once;
                return parallel::for_each_with(
                    self.channels.div_ceil(at_once),
                    cost,
                    || Ok((Staged::default(), Room::default())),
                    |(staged, totals), chunks, pause| {
                        for chunk in chunks {
                            let channels = chunk * at_once..((chunk + 1) * at_once).min(self.channels);
                            self.side_by_side(&channels, (at_once, rows), staged, totals, pause)?;
                        }
                        Ok(())
                    },
                );
            }
        }
        let codec = T::ProductCodec::default();
        parallel::for_each(self.channels, self.batch.max(1) * d * h * w, |channels| {
            let (mut packed, mut one) = (scratch(w)?, [T::Product::default()]);
            for c in channels {
                let mut total = T::Product::default();
                for row in 0..self.batch * d * h {
                    let (n, row) = (row / (d * h), row % (d * h));
                    let at = At { block: n * self.channels + c, d: row / h, h: row % h };
                    let row = self.grad.load(codec, at, &(0..w), &mut packed);
                    total = T::Product::add(total, sum(row));
                }
                one[0] = total;
                self.out.store_from(codec, At { block: 0, d: 0, h: 0 }, &(c..c + 1), &mut one);
            }
            Ok(())
        })
    }

    /// The sums of some channels, of which there are at most so many, so many rows at once.
    fn side_by_side(
        &self,
        channels: &Range<usize>,
        (at_once, rows): (usize, usize),
        staged: &mut Staged<T::Product>,
        totals: &mut Room<T::Product>,
        pause: &Pause<'_>,
    ) -> Result<()> {
        let (pitch, n, [depth, height, width]) = (pitch::<T::Product>(at_once), channels.len(), self.grad.spatial);
        grow(totals, pitch)?;
        totals.fill(T::Product::default());
        for image in 0..self.batch {
            let first = image * self.channels + channels.start;
            for (d, h) in (0..depth).flat_map(|d| (0..height).step_by(rows).map(move |h| (d, h))) {
                parallel::alone(&mut || {
                    staged.fill(&self.grad, (first, n, 1), ([d as i128, h as i128, 0], [1, rows, width]), pitch)
                })?;
                let rows = rows.min(height - h);
                simd::dispatch(RowSums { pitch, lanes: staged.lanes(), shape: [rows, width], totals });
                pause.here()?;
            }
        }
        self.out.store_from(T::ProductCodec::default(), At { block: 0, d: 0, h: 0 }, channels, &mut totals[..n]);
        Ok(())
    }
}

/// Sum of a row, in a fixed order.
fn sum<T: Ring>(row: &[std::cell::Cell<T>]) -> T {
    let mut lanes = [T::default(); LANES];
    for part in row.chunks(LANES) {
        for (lane, v) in lanes.iter_mut().zip(part) {
            *lane = T::add(*lane, v.get());
        }
    }
    lanes.iter().fold(T::default(), |a, &b| T::add(a, b))
}
