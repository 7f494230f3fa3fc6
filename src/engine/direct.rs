//! A band of a convolution of one input channel: row by row, each sum written as soon as it is taken.
//!
//! With one input channel a sum is a few products, and a tile of few rows: listing blocks and segments, as
//! `products.rs` does so that many channels share what they read, took three quarters of the time. The sums are the same,
//! product for product.

use super::products::{Found, MOST_PHASES, PhaseOf, Place, Plane, RowAt, Scheme, Table, write_row};
use super::rows::as_cells;
use super::simd::{Job, Level, whole_vectors};
use crate::element::{Laned, Vector};

/// Lanes of a row computed before they are woven: all phases of them stay in the first cache.
const CHUNK: usize = 384;

/// Most vectors of sums at once: of one row, and of each of two. (Vectors of 32 bytes, fewer of which cross a line of the
/// cache, were a tenth slower than those of 64.)
const MOST_VECTORS: [usize; 2] = [6, 4];

/// The work on one band.
///
/// What must hold of the addresses: from `lanes` on there are `readable` elements; every weight that a table and the offsets
/// of a part lead to is readable; every output position of the rows that lies within the output is this job's to write.
/// That all lanes of the rows, and a vector of them where a row is shorter, are among the readable ones is checked.
pub struct Direct<'a, T> {
    /// What all bands share.
    pub scheme: &'a Scheme,
    /// The weights of the group's first output channel, and the distance of output channels.
    pub weights: (*const T, isize),
    /// Where sums begin, for each output channel of the group; zero if there is none.
    pub bias: Option<&'a [T]>,
    /// Output channels to compute.
    pub outs: std::ops::Range<usize>,
    /// Lane 0.
    pub lanes: *const T,
    /// Elements that may be read from lane 0 on.
    pub readable: usize,
    /// The rows.
    pub rows: &'a [RowAt],
    /// Lanes of a row.
    pub width: usize,
    /// Place of a row's first lane along W, in units of the output's step.
    pub col: usize,
    /// Where results go.
    pub target: Place<*mut T>,
    /// Found, see [`Direct::room`].
    pub sums: &'a mut [T],
}

/// Found of one phase.
#[derive(Clone, Copy)]
struct Phase<'a, T> {
    /// The first weight, and the first lane of the first row.
    weights: *const T,
    lanes: *const T,
    /// The steps, and what the sums begin with.
    table: &'a [(isize, isize)],
    begin: T,
    /// The next row reads at step `t` what this one reads at step `t + again`, and its last `again` steps begin at lane
    /// `last`. (0: it does not.)
    again: usize,
    last: isize,
}

impl<T: Laned> Job for Direct<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        let least = L::Register::<T>::LANES;
        let end = self.rows.iter().map(|r| r.lane + self.width.max(least)).max();
        self.scheme.require_readable(end.unwrap_or(0), 1, self.readable);
        for o in self.outs.clone() {
            for plane in &self.scheme.planes {
                for places in (0..self.scheme.residues.len()).step_by(MOST_PHASES) {
                    self.rows(level, o, plane, places);
                }
            }
        }
    }
}

impl<T: Laned> Direct<'_, T> {
    /// Elements of [`Direct::sums`].
    #[must_use]
    pub fn room(scheme: &Scheme) -> usize {
        2 * scheme.residues.len().min(MOST_PHASES) * CHUNK
    }

    /// Some phases of all rows: those of a plane that come from this place on.
    #[inline(always)]
    fn rows<L: Level>(&mut self, level: L, o: usize, plane: &Plane, places: usize) {
        let next = if let [a, b, ..] = self.rows { b.lane.wrapping_sub(a.lane) } else { 0 };
        let weights = self.weights.0.wrapping_offset((o as isize).wrapping_mul(self.weights.1));
        let begin = self.bias.map_or_else(T::default, |b| b[o]);
        let none = Phase { weights, lanes: self.lanes, table: &[], begin, again: 0, last: 0 };
        let (mut phases, mut list, mut n) = ([none; MOST_PHASES], [PhaseOf::default(); MOST_PHASES], 0);
        for part in &plane.parts {
            let Table { steps: table, first, .. } = &self.scheme.tables[part.table];
            let (again, last) = repeated(table, next as isize);
            for &(place, weight) in &part.phases {
                let Some(at) = place.checked_sub(places).filter(|&at| at < MOST_PHASES) else { continue };
                let (weights, lanes) = (weights.wrapping_offset(weight), self.lanes.wrapping_offset(*first));
                phases[at] = Phase { weights, lanes, table, begin, again, last };
                list[at] = PhaseOf { residue: self.scheme.residues[place], row: at, per_channel: 0 };
                n = n.max(at + 1);
            }
        }
        let (phases, list) = (&phases[..n], &list[..n]);
        let paired = phases.iter().all(|p| p.again > 0);
        let (step, residue, out) = (self.scheme.step, plane.residue, self.scheme.out);
        let place = |row: &RowAt| (row.d * step[0] + residue[0], row.h * step[1] + residue[1]);
        let mut at = 0;
        while let Some(row) = self.rows.get(at) {
            let (d, h) = place(row);
            at += 1;
            if d >= out[0] || h >= out[1] {
                continue;
            }
            let to = self.target.at_mut([row.n, o], [d, h, 0]);
            if let (true, Some(other)) = (paired, self.rows.get(at)) {
                let down = place(other).1;
                if (other.n, other.d, other.lane) == (row.n, row.d, row.lane + next) && down < out[1] {
                    let other = self.target.at_mut([row.n, o], [d, down, 0]);
                    self.row(level, row.lane, phases, list, [to, other]);
                    at += 1;
                    continue;
                }
            }
            self.row(level, row.lane, phases, list, [to]);
        }
    }

    /// These phases of one row or two, the first of which begins at `lane`.
    #[inline(always)]
    fn row<L: Level, const R: usize>(
        &mut self,
        level: L,
        lane: usize,
        phases: &[Phase<'_, T>],
        list: &[PhaseOf],
        to: [*mut T; R],
    ) {
        let least = L::Register::<T>::LANES;
        let stride = self.target.spatial[2];
        if self.scheme.step[2] == 1 && stride == 1 && self.width >= least {
            let phase = Phase { lanes: phases[0].lanes.wrapping_add(lane), ..phases[0] };
            let mut to = to;
            to.iter_mut().for_each(|to| *to = to.wrapping_add(self.col));
            // SAFETY: the addresses are those the job's maker vouches for: all of `R` rows of the output.
            return unsafe { phase.sums::<L, R>(self.width, to) };
        }
        let mut first = 0;
        while first < self.width {
            let n = some_of(self.width - first, CHUNK);
            for (phase, sums) in phases.iter().zip(self.sums.chunks_exact_mut(2 * CHUNK)) {
                let phase = Phase { lanes: phase.lanes.wrapping_add(lane + first), ..*phase };
                let mut at = [sums.as_mut_ptr(); R];
                at.iter_mut().enumerate().for_each(|(r, at)| *at = at.wrapping_add(r * CHUNK));
                // SAFETY: the addresses are those the job's maker vouches for; there is room for `CHUNK` sums of each row,
                // of which `n` or a vector are written.
                unsafe { phase.sums::<L, R>(n.max(least), at) };
            }
            for (r, to) in to.into_iter().enumerate() {
                let found = Found { phases: list, first: r * CHUNK, channel: 0, pitch: 2 * CHUNK };
                let sums = as_cells(self.sums);
                // SAFETY: a row of an output that exists, whose places from the chunk's on are this job's to write.
                unsafe {
                    write_row(level, self.scheme.along_rows(), (to, stride), (self.col + first, n), &found, sums)
                };
            }
            first += n;
        }
    }
}

/// After how many steps lanes come again that lie `next` beyond those of the same steps before, if all do; and where the
/// last such steps would read that come after the table, from its first lane on.
fn repeated(table: &[(isize, isize)], next: isize) -> (usize, isize) {
    let mut far = 0;
    let Some(again) = table.iter().position(|step| {
        far += step.1;
        far == next
    }) else {
        return (0, 0);
    };
    let again = again + 1;
    if next == 0 || again >= table.len() || (again..table.len() - 1).any(|t| table[t].1 != table[t - again].1) {
        return (0, 0);
    }
    let last = table[..table.len() - again].iter().map(|step| step.1).sum::<isize>() + next;
    (again, last)
}

/// The next part of `left`, of at most `most`; the last two are of about the same size. (Without a division, which would
/// take as long as the sums of a short row.)
#[inline(always)]
fn some_of(left: usize, most: usize) -> usize {
    if left > most && left < 2 * most { left.div_ceil(2) } else { left.min(most) }
}

impl<T: Laned> Phase<'_, T> {
    /// Writes `n` sums of each row, at least a vector of them.
    ///
    /// # Safety
    /// `n` lanes must be readable at every step, as must every step's weight; `n` sums of each row must be writeable.
    #[inline(always)]
    unsafe fn sums<L: Level, const R: usize>(self, n: usize, to: [*mut T; R]) {
        let width = L::Register::<T>::LANES;
        let mut first = 0;
        while first < n {
            let vectors = some_of((n - first).div_ceil(width), MOST_VECTORS[R - 1]);
            // The last vector overlaps the one before it, if need be: it has the same sums again.
            let last = (first + (vectors - 1) * width).min(n - width) as isize - first as isize;
            let phase = Self { lanes: self.lanes.wrapping_add(first), ..self };
            let mut to = to;
            to.iter_mut().for_each(|to| *to = to.wrapping_add(first));
            // SAFETY: as the caller promises: all vectors lie within the `n` lanes.
            unsafe {
                match vectors {
                    1 => phase.fixed::<L, R, 1>(last, to),
                    2 => phase.fixed::<L, R, 2>(last, to),
                    3 => phase.fixed::<L, R, 3>(last, to),
                    4 => phase.fixed::<L, R, 4>(last, to),
                    5 if R == 1 => phase.fixed::<L, R, 5>(last, to),
                    _ => phase.fixed::<L, R, 6>(last, to),
                }
            }
            first += vectors * width;
        }
    }

    /// `V` vectors of sums of each row, one after the other but for the last, which is at `last`.
    ///
    /// # Safety
    /// As for [`Phase::sums`].
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // indices, so that the arrays stay in registers
    unsafe fn fixed<L: Level, const R: usize, const V: usize>(self, last: isize, to: [*mut T; R]) {
        let width = L::Register::<T>::LANES as isize;
        let at = |v: usize| if v + 1 == V { last } else { v as isize * width };
        let mut sums = [[L::Register::<T>::splat(self.begin); V]; R];
        let (mut weights, mut from) = ([self.weights; R], self.lanes);
        macro_rules! add {
            ($lanes:ident, $r:expr, $next:expr) => {{
                // SAFETY: every step's weight is readable.
                let factor = L::Register::<T>::splat(unsafe { weights[$r].read() });
                for v in 0..V {
                    sums[$r][v] = if L::FMA {
                        sums[$r][v].plus_product::<true>(factor, $lanes[v])
                    } else {
                        sums[$r][v].plus_product::<false>(factor, $lanes[v])
                    };
                }
                weights[$r] = weights[$r].wrapping_offset($next);
            }};
        }
        macro_rules! read {
            ($next:expr) => {{
                whole_vectors();
                let mut lanes = [L::Register::<T>::splat(self.begin); V];
                for v in 0..V {
                    // SAFETY: every step's vectors of lanes are readable.
                    lanes[v] = unsafe { L::Register::<T>::load(from.wrapping_offset(at(v))) };
                }
                from = from.wrapping_offset($next);
                lanes
            }};
        }
        let own = if R == 1 { self.table.len() } else { self.again };
        for step in &self.table[..own] {
            let lanes = read!(step.1);
            add!(lanes, 0, step.0);
        }
        if R > 1 {
            for (step, other) in self.table[own..].iter().zip(self.table) {
                let lanes = read!(step.1);
                add!(lanes, 0, step.0);
                add!(lanes, R - 1, other.0);
            }
            from = self.lanes.wrapping_offset(self.last);
            for step in &self.table[self.table.len() - own..] {
                let lanes = read!(step.1);
                add!(lanes, R - 1, step.0);
            }
        }
        for r in 0..R {
            for v in 0..V {
                // SAFETY: `V` vectors of each row are writeable.
                unsafe { sums[r][v].store(to[r].wrapping_offset(at(v))) };
            }
        }
    }
}
