//! Where windows' best elements are, looked for when those are known: for windows of inputs so far apart that the low bits of
//! their positions do not tell them apart (see `locate.rs`). Such are planes of a billion elements, or a window of as many.

use std::ops::Range;

use super::{PIECE, PoolPlan};
use crate::element::Order;
use crate::engine::parallel::{self, Pause};
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::{At, Readable, Writable};
use crate::error::Result;
use crate::geometry::Reach;

/// What is read and written. (Compiled for each type that is compared, not for each that is stored.)
pub(super) struct Search<'a, K> {
    pub plan: &'a PoolPlan,
    pub x: &'a dyn Readable<K>,
    /// The values, as they have been written, to be read and written once more.
    pub found: &'a dyn Readable<K>,
    pub out: &'a dyn Writable<K>,
    pub indices: &'a dyn Writable<i64>,
}

/// The channels of one output.
struct Channels<K> {
    packed: Room<K>,
    values: Room<K>,
    /// Where each value is.
    places: Room<i64>,
}

/// Not found yet.
const NOWHERE: i64 = -1;

impl<K: Order> Search<'_, K> {
    /// Finds all of `blocks` blocks.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub(super) fn run(&self, blocks: usize) -> Result<()> {
        let bins = &self.plan.bins;
        let [planes, rows, cols] = [0, 1, 2].map(|a| bins[a].out_len());
        let inner = self.x.lens().1;
        let cost = bins.iter().map(|b| b.longest()).fold(inner, usize::saturating_mul);
        parallel::for_each_long(blocks * planes * rows * cols, cost, |units, pause| {
            let mut s = Channels { packed: Room::default(), values: scratch(inner)?, places: scratch(inner)? };
            for unit in units {
                let (rest, w) = (unit / cols, unit % cols);
                let (rest, h) = (rest / rows, rest % rows);
                let (to, col) = (At { block: rest / planes, d: rest % planes, h }, w..w + 1);
                grow(&mut s.packed, inner)?;
                for (value, v) in s.values.iter_mut().zip(self.found.row(to, &col, &mut s.packed)) {
                    *value = v.get();
                }
                s.places.fill(NOWHERE);
                self.find(to, w, &mut s, pause)?;
                self.out.write(to, &col, &mut s.values);
                self.indices.write(to, &col, &mut s.places);
            }
            Ok(())
        })
    }

    /// In each channel of a window, the first element that the best does not exceed. (Of elements that are equal, as zeros of both
    /// signs are, the first is the value, too.)
    fn find(&self, to: At, w: usize, s: &mut Channels<K>, pause: &Pause<'_>) -> Result<()> {
        let (bins, inner) = (&self.plan.bins, s.values.len());
        let [rd, rh, rw] = [bins[0].at(to.d), bins[1].at(to.h), bins[2].at(w)];
        // (Should another thread have changed the array, they are found nowhere.)
        let first = self.position([rd.start, rh.start, rw.start]);
        let each = (PIECE / rw.step).max(1);
        let mut left = inner;
        for (d, h) in of(rd).flat_map(|d| of(rh).map(move |h| (d, h))) {
            for from in (0..rw.count).step_by(each) {
                let cols = columns(rw, from..(from + each).min(rw.count));
                grow(&mut s.packed, cols.len() * inner)?;
                let row = self.x.row(At { block: to.block, d, h }, &cols, &mut s.packed);
                for c in 0..inner {
                    let (value, place) = (&mut s.values[c], &mut s.places[c]);
                    let mut channel = row[c..].iter().step_by(rw.step * inner);
                    if *place == NOWHERE
                        && let Some(n) = channel.position(|v| !value.rises(v.get()))
                    {
                        *value = row[c + n * rw.step * inner].get();
                        *place = self.position([d, h, rw.start + (from + n) * rw.step]);
                        left -= 1;
                    }
                }
                if left == 0 {
                    return Ok(());
                }
                pause.here()?;
            }
        }
        s.places.iter_mut().filter(|place| **place == NOWHERE).for_each(|place| *place = first);
        Ok(())
    }

    /// The flat position, in the array that positions count in.
    fn position(&self, place: [usize; 3]) -> i64 {
        let (first, lens) = self.plan.counted_in();
        let [d, h, w] = [0, 1, 2].map(|a| (first[a] + place[a]) as i64);
        (d * lens[1] as i64 + h) * lens[2] as i64 + w
    }
}

fn of(r: Reach) -> impl Iterator<Item = usize> {
    (0..r.count).map(move |j| r.start + j * r.step)
}

/// The columns from the first of some elements to the last.
fn columns(r: Reach, of: Range<usize>) -> Range<usize> {
    r.start + of.start * r.step..r.start + (of.end - 1) * r.step + 1
}
