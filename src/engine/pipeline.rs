//! The separable pipeline: *across* each input row, then *down* the rows that one output row needs.
//!
//! Rows that have gone across are kept in a small ring, so overlapping windows and taps process every input row once,
//! and nothing of the size of an image is ever held between the two passes. Wide rows are cut into column tiles so that
//! the ring stays in cache. Pooling and resampling, forward and backward, in one to three dimensions, are kernels of
//! this pipeline.

use std::ops::Range;

use super::parallel;
use super::rows::At;
use crate::error::Result;
use crate::geometry::taps::reserved;
use crate::geometry::{Reach, gcd};

/// Bytes of ring to aim at: half of a small L2, so that the rows and the output stay in it too.
const RING_BYTES: usize = 128 << 10;

/// Most bytes of whole planes to keep, where D is combined too: a share of L2.
const PLANES_BYTES: usize = 512 << 10;

/// Narrowest column tile worth its overhead.
const MIN_TILE: usize = 64;

/// Tiles are whole multiples of this, so that periodic taps start in phase.
const TILE_STEP: usize = 64;

/// An operation that goes across rows, then down them.
pub trait Separable: Sync {
    /// Per-thread scratch, e.g. for packing rows.
    type Scratch;
    /// A row that has gone across.
    type Slot;

    /// Output lengths `[D, H, W]`.
    fn out_spatial(&self) -> [usize; 3];
    /// Number of outer blocks.
    fn blocks(&self) -> usize;
    /// The positions along D (0) or H (1) that output position `o` reads.
    fn reach(&self, axis: usize, o: usize) -> Reach;
    /// Bytes of one column of a slot.
    fn column_bytes(&self) -> usize;
    /// Cost of one output row, in elements.
    fn row_cost(&self) -> usize;

    /// Scratch for column tiles of up to `tile` outputs.
    ///
    /// # Errors
    /// If it cannot be allocated.
    fn scratch(&self, tile: usize) -> Result<Self::Scratch>;
    /// A slot for column tiles of up to `tile` outputs.
    ///
    /// # Errors
    /// If it cannot be allocated.
    fn slot(&self, tile: usize) -> Result<Self::Slot>;
    /// Processes input row `at` for the output columns `cols`.
    fn across(&self, at: At, cols: &Range<usize>, scratch: &mut Self::Scratch, slot: &mut Self::Slot);
    /// Combines the rows of output row `at` (`rows[j]` is a slot and its input position, in row-major order of the reach)
    /// and stores the columns `cols`.
    fn down(
        &self,
        at: At,
        cols: &Range<usize>,
        rows: &[(usize, At)],
        slots: &[Self::Slot],
        scratch: &mut Self::Scratch,
    );
}

/// The ring's shape: enough slots along D and H that the positions of one reach, modulo it, are all different.
fn ring_shape<S: Separable>(op: &S) -> [usize; 2] {
    let lens = op.out_spatial();
    [0, 1].map(|axis| {
        let reaches = || (0..lens[axis]).map(|o| op.reach(axis, o));
        let most = reaches().map(|r| r.count).max().unwrap_or(0).max(1);
        let step = reaches().find(|r| r.count > 1).map_or(1, |r| r.step);
        // `start + j*step` for j < n are distinct modulo any m >= n that has no factor in common with `step`.
        (most..).find(|&m| gcd(m, step) == 1).unwrap_or(most)
    })
}

/// Runs the operation over its whole output.
///
/// # Errors
/// If scratch cannot be allocated, or the caller interrupts.
pub fn run<S: Separable>(op: &S) -> Result<()> {
    let [out_d, out_h, out_w] = op.out_spatial();
    let rows = out_d * out_h;
    if op.blocks() == 0 || rows == 0 || out_w == 0 {
        return Ok(());
    }
    let mut ring = ring_shape(op);
    let all_h = (0..out_h).map(|o| op.reach(1, o).end()).max().unwrap_or(1).max(1);
    // The planes one output plane reads, whole: else the next output plane sends them across again.
    let planes = ring[0].saturating_mul(all_h).saturating_mul(op.column_bytes()).saturating_mul(out_w);
    let whole = out_d > 1 && planes <= PLANES_BYTES;
    if whole {
        ring[1] = all_h;
    }
    let per_column = ring[0].saturating_mul(ring[1]).saturating_mul(op.column_bytes()).max(1);
    let bytes = if whole { PLANES_BYTES } else { RING_BYTES };
    // Where a column is wide by itself (many channels), a few of them are enough.
    let least = (MIN_TILE * size_of::<f64>() / op.column_bytes().max(size_of::<f64>())).max(1);
    let fitting = (bytes / per_column).max(least);
    let tile = if fitting > TILE_STEP { fitting / TILE_STEP * TILE_STEP } else { fitting }.min(out_w);
    let tiles = out_w.div_ceil(tile);
    let units = op.blocks() * tiles * rows;
    parallel::for_each(units, op.row_cost() / tiles, |units| stretch(op, units, ring, tile, tiles))
}

/// Runs a range of units; a unit is one output row of one column tile of one block, rows fastest.
fn stretch<S: Separable>(op: &S, units: Range<usize>, ring: [usize; 2], tile: usize, tiles: usize) -> Result<()> {
    let [out_d, out_h, out_w] = op.out_spatial();
    let mut scratch = op.scratch(tile)?;
    let mut slots = reserved(ring[0] * ring[1])?;
    for _ in 0..ring[0] * ring[1] {
        slots.push(op.slot(tile)?);
    }
    // Which row each slot holds: its place among the rows of all groups, in one word.
    const NOTHING: usize = usize::MAX;
    let mut held = reserved(slots.len())?;
    held.resize(slots.len(), NOTHING);
    let [in_d, in_h] =
        [(0, out_d), (1, out_h)].map(|(axis, n)| (0..n).map(|o| op.reach(axis, o).end()).max().unwrap_or(0));
    let mut rows = reserved(slots.len())?;
    let mut last = None;
    let (mut group, mut row) = (units.start / (out_d * out_h), units.start % (out_d * out_h));
    for _ in units {
        let (block, strip) = if tiles == 1 { (group, 0) } else { (group / tiles, group % tiles) };
        let at =
            At { block, d: if out_d == 1 { 0 } else { row / out_h }, h: if out_d == 1 { row } else { row % out_h } };
        let cols = strip * tile..((strip + 1) * tile).min(out_w);
        let reach = (group, op.reach(0, at.d), op.reach(1, at.h));
        if last != Some(reach) {
            // (Upsampling, several output rows in succession read the same rows.)
            last = Some(reach);
            let (_, rd, rh) = reach;
            rows.clear();
            for jd in 0..rd.count {
                for jh in 0..rh.count {
                    let from = At { block, d: rd.start + jd * rd.step, h: rh.start + jh * rh.step };
                    let slot = modulo(from.d, ring[0]) * ring[1] + modulo(from.h, ring[1]);
                    let place = (group * in_d + from.d) * in_h + from.h;
                    if held[slot] != place {
                        held[slot] = place;
                        op.across(from, &cols, &mut scratch, &mut slots[slot]);
                    }
                    rows.push((slot, from));
                }
            }
        }
        op.down(at, &cols, &rows, &slots, &mut scratch);
        row += 1;
        if row == out_d * out_h {
            (group, row) = (group + 1, 0);
        }
    }
    Ok(())
}

/// `a % n`; rings mostly have one or two places, and a division for every row is worth avoiding.
#[inline(always)]
fn modulo(a: usize, n: usize) -> usize {
    if n.is_power_of_two() { a & (n - 1) } else { a % n }
}
