//! Many small planes, turned so that they lie side by side.
//!
//! To begin a row takes some hundred cycles, whatever its length: finding it, choosing loops, the elements at its ends. Of
//! planes of 7 x 7 there is little else. Side by side, as the channels of a channels-last array are, they share all of that:
//! a row holds the elements of all planes. They are turned in groups that stay in cache, and what is made of them is turned
//! back. (Means of 1024 planes of 7 x 7 took 360 µs plane by plane.)

use crate::engine::exchange::turn;
use crate::engine::parallel;
use crate::engine::room::{Line, Room, grow};
use crate::error::Result;
use crate::layout::{Bare, SideBySide};

/// Fewest planes that are turned, and fewest bytes of one element of each: shorter runs are moved one by one.
const FEWEST: usize = 16;
const LEAST_BYTES: usize = 32;

/// Bytes of a group of planes and of what is made of them to aim at, a share of a small L2, and the most there may be.
const GROUP_BYTES: usize = 128 << 10;
const MOST_BYTES: usize = 1 << 20;

/// Rows that take as long to begin as a plane does.
const BEGUN: usize = 4;

/// Elements from which on there is work for several threads.
const SHARED: usize = 1 << 18;

/// Most planes of a group.
const MOST: usize = 512;

/// How the planes of some arrays, as many of each, are turned.
struct SmallPlanes {
    /// Planes, and how many of them lie one after the other at equal distances.
    blocks: usize,
    run: usize,
    /// Planes of a group.
    at_once: usize,
    /// Elements of a plane of each array together.
    elements: usize,
}

/// What is done with planes side by side: with those of an array, into those of others.
type Work<'a> = &'a (dyn Fn(&SideBySide<*const u8>, &[SideBySide<*mut u8>]) -> Result<()> + Sync);

/// Has `work` make the planes of `outs` (at most two arrays) of those of `x`, groups of them side by side, if they are so small
/// and many that this is better: see [`SmallPlanes::of`]. Returns whether it has.
///
/// # Errors
/// If there is no memory to turn them in, `work` fails, or the caller interrupts.
pub(super) fn side_by_side(
    x: &Bare<'_, *const u8>,
    outs: &[Bare<'_, *mut u8>],
    narrow: usize,
    work: Work<'_>,
) -> Result<bool> {
    let Some(planes) = SmallPlanes::of(x, outs, narrow) else { return Ok(false) };
    let per_run = planes.run.div_ceil(planes.at_once);
    let (groups, cost) = (planes.blocks / planes.run * per_run, planes.at_once.saturating_mul(planes.elements));
    let make = || Ok((Room::default(), <[Room<Line>; 2]>::default()));
    parallel::for_each_with(groups, cost, make, |(read, made), groups, pause| {
        for group in groups {
            let (start, at) = (group / per_run * planes.run, group % per_run * planes.at_once);
            let (first, n) = (start + at, planes.at_once.min(planes.run - at));
            // (Turning too: a thread of the pool that shared it would have to be waited for.)
            parallel::alone(&mut || {
                let source = x.side_by_side(first, n, 1);
                let turned = room_for(read, source.shape(), source.size)?;
                turn(&source, &turned)?;
                let places = || outs.iter().map(|out| out.side_by_side(first, n, 1));
                let mut results = Vec::with_capacity(outs.len());
                for (to, room) in places().zip(&mut *made) {
                    results.push(room_for(room, to.shape(), to.size)?);
                }
                work(&turned.to_be_read(), &results)?;
                places().zip(&results).try_for_each(|(to, made)| turn(&made.to_be_read(), &to))
            })?;
            pause.here()?;
        }
        Ok(())
    })?;
    Ok(true)
}

/// Room for elements of that size side by side.
///
/// # Errors
/// If there is none.
pub(super) fn room_for(room: &mut Room<Line>, shape: [usize; 4], size: usize) -> Result<SideBySide<*mut u8>> {
    let bytes = shape.iter().fold(size, |n, &len| n.saturating_mul(len));
    grow(room, bytes.div_ceil(size_of::<Line>()))?;
    Ok(SideBySide::bytes_within(room, size, shape))
}

impl SmallPlanes {
    /// If the planes of these arrays are so small and many that they are better turned: rows of up to `narrow` elements of four
    /// bytes, somewhat longer ones of smaller elements, for which turning is cheaper, and shorter ones of larger elements; and
    /// longer ones where a plane has few, for to begin a plane takes as long as to begin four rows. (Maxima of three of rows of
    /// 100 by themselves, 200,000 elements in all, took 314 µs one by one and 99 turned.)
    fn of(x: &Bare<'_, *const u8>, outs: &[Bare<'_, *mut u8>], narrow: usize) -> Option<Self> {
        let ([blocks, run], size) = (x.blocks(), x.size);
        let arrays = || std::iter::once(*x).chain(outs.iter().map(|out| out.to_be_read()));
        let rows = arrays().map(|a| a.spatial[0].saturating_mul(a.spatial[1])).max()?;
        let narrow = narrow + BEGUN * narrow / rows.max(1);
        let widest = match size {
            0..=2 => narrow * 4 / 3,
            3..=4 => narrow,
            5..=8 => narrow * 2 / 3,
            _ => return None,
        };
        let least = FEWEST.max(LEAST_BYTES / size.max(1));
        let plane = |a: Bare<'_, *const u8>| a.spatial.iter().fold(1usize, |n, &len| n.saturating_mul(len));
        let bytes = arrays().fold(0usize, |n, a| n.saturating_add(plane(a).saturating_mul(a.size)));
        let fits = arrays().all(|a| a.inner == 1 && a.blocks() == [blocks, run] && a.spatial[2] <= widest);
        if !fits || run < least || bytes == 0 || bytes.saturating_mul(least) > MOST_BYTES {
            return None;
        }
        let elements = arrays().map(plane).sum::<usize>();
        // As many groups as there may be threads for, at least.
        let shared = if blocks * elements < SHARED { 1 } else { 2 * parallel::threads() };
        let most = (GROUP_BYTES / bytes).min(MOST).min(blocks.div_ceil(shared)).max(least);
        let at_once = run.div_ceil(run.div_ceil(most)).next_multiple_of(least).min(run);
        Some(Self { blocks, run, at_once, elements })
    }
}
