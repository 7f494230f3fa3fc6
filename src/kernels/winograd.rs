//! Inputs on their way into Winograd's sums: of one channel all sources, sums and differences of a few inputs.
//!
//! (Several channels at once, each step for all of them, took up to a quarter longer where their rows left L1, and no less where
//! they did not.)

use super::conv::Found;
use crate::element::{Laned, Vector};
use crate::engine::rows::{Rows, as_cells, as_uninit};
use crate::engine::simd::{Job, Level};
use crate::engine::winograd::{SLACK, Several, blend};

/// Where a source finds its elements along one axis.
#[derive(Debug, Clone, Copy)]
pub struct Reads {
    /// Places from the beginning on.
    pub first: usize,
    /// A second one's, and whether it is subtracted.
    pub second: Option<(usize, bool)>,
}

/// How the inputs of a row of positions are found.
#[derive(Debug, Clone, Copy)]
pub struct Across {
    /// Distance of the inputs of neighbouring positions.
    pub step: usize,
    /// Positions whose inputs are taken: those of a row, and those its last one reads beyond.
    pub len: usize,
    /// Inputs of a row that lie before the first that exists.
    pub before: usize,
    /// Rows.
    pub rows: usize,
}

impl Across {
    /// Elements of all rows.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.rows * self.len
    }

    /// Elements from the inputs of one residue to those of the next, and from source to source.
    #[must_use]
    pub fn pitch(&self) -> usize {
        self.whole() + self.len + SLACK
    }

    /// Room for all rows, as they lie.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.step == 1 { self.pitch() } else { self.step * self.whole() }
    }
}

/// Makes the sources of one image and one input channel.
pub struct Combine<'a, T> {
    /// The inputs.
    pub source: Rows<'a, T>,
    /// Which rows of them the stretches of D and H are, and how far neighbours are from each other.
    pub found: &'a [Vec<Found>; 2],
    /// See above.
    pub step: [usize; 2],
    /// How many planes and rows there are in a stretch.
    pub extent: [usize; 2],
    /// How rows are taken apart.
    pub across: Across,
    /// The rows, with zeros where there are no inputs: see [`Across::room`].
    pub line: &'a mut [T],
    /// Room for them by residue, [`Across::pitch`] each.
    pub apart: &'a mut [T],
    /// What the sources of D and H read, as places among the rows of a source of W; and those of W, as places among `apart`.
    pub reads: &'a [Vec<Reads>; 3],
    /// Positions along D, H and W.
    pub band: [usize; 3],
    /// Room for the sources of W, [`Across::pitch`] each.
    pub made: &'a mut [T],
    /// Room for one of them, if planes are combined.
    pub mixed: &'a mut [T],
    /// The first source's lanes of this image and channel, and the distance of sources.
    pub to: &'a mut [T],
    /// See above.
    pub pitch: usize,
}

impl<T: Laned> Combine<'_, T> {
    /// Copies the rows that there are.
    #[inline(always)]
    fn copy<L: Level>(&mut self, level: L) {
        let Across { step, len, before, .. } = self.across;
        let [planes, rows] = self.extent;
        let mut first = 0;
        for (in_d, in_h) in self.found[0].iter().flat_map(|d| self.found[1].iter().map(move |h| (d, h))) {
            for d in 0..planes {
                if in_d.to.contains(&d) {
                    let from = in_d.from + (d - in_d.to.start) * self.step[0];
                    for (i, h) in in_h.to.clone().enumerate() {
                        let row = self.source.row(from, in_h.from + i * self.step[1]);
                        level.copy(row, as_uninit(&mut self.line[first + h * step * len + before..][..row.len()]));
                    }
                }
                first += rows * step * len;
            }
        }
    }

    /// Takes the rows apart, by residue.
    #[inline(always)]
    fn take_apart<L: Level>(&mut self, level: L) {
        let Across { step, .. } = self.across;
        let (pitch, n) = (self.across.pitch(), self.across.whole());
        let whole = as_cells(&mut self.line[..step * n]);
        macro_rules! rows {
            ($n:literal) => {{
                let mut rows = self.apart.chunks_exact_mut(pitch);
                let mut rows: [_; $n] =
                    std::array::from_fn(|_| rows.next().map_or(&mut [][..], |row| as_uninit(&mut row[..n])));
                level.unweave::<T, $n>(whole, &mut rows);
            }};
        }
        match step {
            2 => rows!(2),
            3 => rows!(3),
            4 => rows!(4),
            _ => {
                for (residue, row) in self.apart.chunks_exact_mut(pitch).take(step).enumerate() {
                    row[..n].iter_mut().zip(whole[residue..].iter().step_by(step)).for_each(|(to, v)| *to = v.get());
                }
            }
        }
    }
}

/// The factor of a second row.
fn sign<T: Laned>(minus: bool) -> T {
    T::halves(if minus { -2 } else { 2 })
}

/// Two rows and the second's factor. (A single row is added nothing of itself.)
#[inline(always)]
fn pair<T: Laned>(reads: &Reads) -> ([usize; 2], T) {
    match reads.second {
        None => ([reads.first; 2], T::default()),
        Some((second, minus)) => ([reads.first, second], sign(minus)),
    }
}

impl<T: Laned> Job for Combine<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<L: Level>(mut self, level: L) {
        let lanes = L::Register::<T>::LANES;
        let vectors = |n: usize| n.div_ceil(lanes) * lanes;
        self.copy(level);
        if self.across.step > 1 {
            self.take_apart(level);
        }
        let Across { step, len, .. } = self.across;
        let apart: &[T] = if step > 1 { self.apart } else { self.line };
        let (size, n) = (self.across.pitch(), vectors(self.across.whole()));
        for (reads, made) in self.reads[2].iter().zip(self.made.chunks_exact_mut(size)) {
            let first = &apart[reads.first..];
            match reads.second {
                None => blend::<L, T, 1>([first], T::default(), made, (1, n), [0; 2]),
                Some((second, minus)) => {
                    blend::<L, T, 2>([first, &apart[second..]], sign(minus), made, (1, n), [0; 2]);
                }
            }
        }
        // Rows one after the other: what is written beyond the end of one is written again.
        let [planes, rows, width] = self.band;
        let (rows, run) = if len == width { (1, rows * width) } else { (rows, width) };
        let of = (rows, vectors(run));
        let plane = self.extent[1] * len;
        let (along_h, of_w) = (&self.reads[1], self.reads[2].len());
        for (sw, made) in self.made.chunks_exact(size).take(of_w).enumerate() {
            for (sd, along_d) in self.reads[0].iter().enumerate() {
                let from = match along_d.second {
                    None => &made[along_d.first..],
                    Some((second, minus)) => {
                        // The planes of each stretch of H, which lie as they did.
                        let (apart, n) = (self.extent[0] * plane, vectors(planes * plane));
                        let both = [&made[along_d.first..], &made[second..]];
                        let stretches = (self.found[1].len(), n);
                        blend::<L, T, 2>(both, sign(minus), self.mixed, stretches, [apart; 2]);
                        &*self.mixed
                    }
                };
                let first = (sd * along_h.len() * of_w + sw) * self.pitch;
                for p in 0..planes {
                    let (from, to) = (&from[p * plane..], &mut self.to[first + p * rows * run..]);
                    let mut to = Several { to, apart: of_w * self.pitch, of, run, from, len };
                    for some in along_h.chunks(4) {
                        match some {
                            [a] => to.next::<L, 1>([pair(a)]),
                            [a, b] => to.next::<L, 2>([pair(a), pair(b)]),
                            [a, b, c] => to.next::<L, 3>([pair(a), pair(b), pair(c)]),
                            [a, b, c, d] => to.next::<L, 4>([pair(a), pair(b), pair(c), pair(d)]),
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}
