//! Many small planes, turned so that they lie side by side.
//!
//! To begin a row takes some hundred cycles, whatever its length: finding it, choosing loops, the elements at its ends. Of
//! planes of 7 x 7 there is little else. Side by side, as the channels of a channels-last array are, they share all of that:
//! a row holds the elements of all planes. They are turned in groups that stay in cache, and what is made of them is turned
//! back. (Means of 1024 planes of 7 x 7 took 360 µs plane by plane.)

use std::ops::Range;

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
const MOST_BYTES: usize = 384 << 10;

/// Rows that take as long to begin as a plane does.
const BEGUN: usize = 4;

/// Most planes of a group.
const MOST: usize = 512;

/// How the planes of some arrays, as many of each, are turned.
pub(super) struct SmallPlanes {
    /// Planes, and how many of them lie one after the other at equal distances.
    blocks: usize,
    run: usize,
    /// Planes of a group.
    at_once: usize,
    /// Elements of a plane of each array together.
    elements: usize,
}

impl SmallPlanes {
    /// If the planes of these arrays are so small and many that they are better turned: rows of up to `narrow` elements of four
    /// bytes, somewhat longer ones of smaller elements, for which turning is cheaper, and shorter ones of larger elements; and
    /// longer ones where a plane has few, for to begin a plane takes as long as to begin four rows. (Maxima of three of rows of
    /// 100 by themselves, 200,000 elements in all, took 314 µs one by one and 99 turned.)
    pub fn of(arrays: &[Bare<'_, *const u8>], narrow: usize) -> Option<Self> {
        let first = arrays.first()?;
        let ([blocks, run], size) = (first.blocks(), first.size);
        let rows = arrays.iter().map(|a| a.spatial[0].saturating_mul(a.spatial[1])).max()?;
        let narrow = narrow + BEGUN * narrow / rows.max(1);
        let widest = match size {
            0..=2 => narrow * 4 / 3,
            3..=4 => narrow,
            5..=8 => narrow * 2 / 3,
            _ => return None,
        };
        let least = FEWEST.max(LEAST_BYTES / size.max(1));
        let plane = |a: &Bare<'_, _>| a.spatial.iter().fold(1usize, |n, &len| n.saturating_mul(len));
        let bytes = arrays.iter().fold(0usize, |n, a| n.saturating_add(plane(a).saturating_mul(a.size)));
        let fits = arrays.iter().all(|a| a.inner == 1 && a.blocks() == [blocks, run] && a.spatial[2] <= widest);
        if !fits || run < least || bytes == 0 || bytes.saturating_mul(least) > MOST_BYTES {
            return None;
        }
        let elements = arrays.iter().map(plane).sum::<usize>();
        // As many groups as there may be threads for, at least.
        let shared = if blocks * elements < SHARED { 1 } else { 2 * parallel::threads() };
        let most = (GROUP_BYTES / bytes).min(MOST).min(blocks.div_ceil(shared)).max(least);
        let at_once = run.div_ceil(run.div_ceil(most)).next_multiple_of(least).min(run);
        Some(Self { blocks, run, at_once, elements })
    }

    /// Has `work` done for each group, with memory of its own for each thread.
    ///
    /// # Errors
    /// If `work` fails, or the caller interrupts.
    pub fn run(&self, work: &(dyn Fn(&Group, &mut Rooms) -> Result<()> + Sync)) -> Result<()> {
        let per_run = self.run.div_ceil(self.at_once);
        let (groups, cost) = (self.blocks / self.run * per_run, self.at_once.saturating_mul(self.elements));
        parallel::for_each_with(
            groups,
            cost,
            || Ok(Rooms::default()),
            |rooms, groups, pause| {
                for group in groups {
                    let (start, first) = (group / per_run * self.run, group % per_run * self.at_once);
                    let blocks = start + first..start + (first + self.at_once).min(self.run);
                    parallel::alone(&mut || work(&Group { blocks: blocks.clone() }, rooms))?;
                    pause.here()?;
                }
                Ok(())
            },
        )
    }
}

/// Elements from which on there is work for several threads.
const SHARED: usize = 1 << 18;

/// Some planes, one after the other at equal distances.
pub(super) struct Group {
    blocks: Range<usize>,
}

/// A thread's memory for the planes of some arrays.
pub(super) type Rooms = [Room<Line>; 3];

/// Room for elements of that size side by side.
///
/// # Errors
/// If there is none.
pub(super) fn room_for(room: &mut Room<Line>, shape: [usize; 4], size: usize) -> Result<SideBySide<*mut u8>> {
    let bytes = shape.iter().fold(size, |n, &len| n.saturating_mul(len));
    grow(room, bytes.div_ceil(size_of::<Line>()))?;
    Ok(SideBySide::bytes_within(room, size, shape))
}

impl Group {
    fn planes_of(&self, x: &Bare<'_, *const u8>) -> SideBySide<*const u8> {
        x.side_by_side(self.blocks.start, self.blocks.len(), 1)
    }

    /// The planes of `x`, turned into `room`.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn read(&self, x: &Bare<'_, *const u8>, room: &mut Room<Line>) -> Result<SideBySide<*const u8>> {
        let planes = self.planes_of(x);
        let turned = room_for(room, planes.shape(), planes.size)?;
        turn(&planes, &turned)?;
        Ok(turned.to_be_read())
    }

    /// Room for what is made of the planes.
    ///
    /// # Errors
    /// If there is none.
    pub fn room(&self, out: &Bare<'_, *mut u8>, room: &mut Room<Line>) -> Result<SideBySide<*mut u8>> {
        room_for(room, self.planes_of(&out.to_be_read()).shape(), out.size)
    }

    /// Turns what was made back, into the planes of `out`.
    ///
    /// # Errors
    /// If there is no memory to do it in.
    pub fn write(&self, made: &SideBySide<*mut u8>, out: &Bare<'_, *mut u8>) -> Result<()> {
        turn(&made.to_be_read(), &out.side_by_side(self.blocks.start, self.blocks.len(), 1))
    }
}
