//! Where windows' best elements are, looked for when those are known: for windows of inputs so far apart that the low bits of
//! their positions do not tell them apart (see `locate.rs`). Such are planes of a billion elements, or a window of as many.

use std::ops::Range;

use super::{PIECE, PoolPlan, Stored};
use crate::element::{Codec, Order};
use crate::engine::parallel::{self, Pause};
use crate::engine::room::{Room, grow};
use crate::engine::rows::At;
use crate::error::Result;
use crate::geometry::Reach;
use crate::layout::Grid;

/// Values have been written to `out`; where they are goes to `indices`.
pub(super) struct Search<'a, C: Codec, O> {
    pub plan: &'a PoolPlan,
    pub codec: C,
    pub x: &'a Grid<*const C::Stored>,
    pub out: &'a Grid<*mut C::Stored>,
    pub indices: &'a Grid<*mut O>,
}

impl<C: Codec<Computed: Order>, O: Stored> Search<'_, C, O> {
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub(super) fn run(&self) -> Result<()> {
        let bins = &self.plan.bins;
        let [planes, rows, cols] = [0, 1, 2].map(|a| bins[a].out_len());
        let (x, found) = (self.x, self.out.to_be_read());
        let cost = bins.iter().map(|b| b.longest()).fold(cols * x.inner, usize::saturating_mul);
        parallel::for_each_long(x.blocks() * planes * rows, cost, |units, pause| {
            let mut packed = Room::default();
            for unit in units {
                let (block, row) = (unit / (planes * rows), unit % (planes * rows));
                let at = At { block, d: row / rows, h: row % rows };
                for (w, c) in (0..cols).flat_map(|w| (0..x.inner).map(move |c| (w, c))) {
                    let best = self.codec.load(found.get(at, w, c));
                    let place = self.first_of(at, w, (c, best), &mut packed, pause)?;
                    // Of elements that are equal, as zeros of both signs are, the first is the value.
                    self.out.set(at, w, c, x.get(At { block, d: place[0], h: place[1] }, place[2], c));
                    self.indices.set(at, w, c, O::of(self.position(place)));
                }
            }
            Ok(())
        })
    }

    /// The first element of a window that the best does not exceed.
    fn first_of(
        &self,
        to: At,
        w: usize,
        (c, best): (usize, C::Computed),
        packed: &mut Room<C::Computed>,
        pause: &Pause<'_>,
    ) -> Result<[usize; 3]> {
        let (bins, inner) = (&self.plan.bins, self.x.inner);
        let [rd, rh, rw] = [bins[0].at(to.d), bins[1].at(to.h), bins[2].at(w)];
        let each = (PIECE / rw.step).max(1);
        for (d, h) in of(rd).flat_map(|d| of(rh).map(move |h| (d, h))) {
            for first in (0..rw.count).step_by(each) {
                let cols = columns(rw, first..(first + each).min(rw.count));
                grow(packed, cols.len() * inner)?;
                let row = self.x.load(self.codec, At { block: to.block, d, h }, &cols, packed);
                let found = row[c..].iter().step_by(rw.step * inner).position(|v| !best.rises(v.get()));
                if let Some(n) = found {
                    return Ok([d, h, rw.start + (first + n) * rw.step]);
                }
                pause.here()?;
            }
        }
        // (Another thread has changed the array.)
        Ok([rd.start, rh.start, rw.start])
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
