//! A linear map of one input channel each, as [`Map`](super::map::Map), with channels side by side: where the array lies so,
//! or where its planes are small and many and so are turned, as `ops/planes.rs` does it for what is not a convolution.
//!
//! (3 x 3 of 512 channels of 14 x 14 took 380 µs channel by channel, and 640 channels-last.)

use std::ops::Range;
use std::sync::Arc;

use super::map::Map;
use crate::element::{Codec, Laned, Multiplied};
use crate::engine::channels::{Channels, Phase};
use crate::engine::exchange::turn;
use crate::engine::parallel;
use crate::engine::room::{Line, Room, grow};
use crate::engine::rows::{At, Place};
use crate::engine::simd;
use crate::error::Result;
use crate::geometry::phase::Phases;
use crate::layout::{Grid, SideBySide};
use crate::ops::planes::room_for;

/// Fewest channels for which it is worth it: a vector.
pub(super) const FEWEST: usize = 16;

/// Longest rows that are better turned, and as how many rows a plane counts beside its own. (One thread of a Zen 4 core, rows as
/// they are and turned, µs: 3 x 3 of 96 channels of 40 x 40 123 and 114, of 56 x 56 193 and 219, to half of that 154 and 106;
/// 4 x 4 that doubles 64 of 28 x 28 127 and 90, of 64 x 64 366 and 733; 7 of 256 rows of 128 80 and 24, of 500 118 and 86, of
/// 1000 155 and 171.)
const NARROW: usize = 40;
const BEGUN: usize = 16;

/// Bytes of a band with its results to aim at: a share of a small L2; and the most that there may be.
pub(super) const BAND_BYTES: usize = 192 << 10;
pub(super) const MOST_BYTES: usize = 2 << 20;

/// How many times as many inputs bands may read twice if their rows stay twice as long.
const LONG_ROWS: f64 = 1.1;

/// Channels at once: at most; and as many as are left to a band that is cut.
const MOST_CHANNELS: usize = 128;
pub(super) const SOME_CHANNELS: usize = 32;

/// Products that take as long as an element's share of everything else.
const PRODUCTS_PER_ELEMENT: usize = 16;

/// How the work is cut.
pub(super) struct Cut {
    /// Channels at once.
    pub(super) channels: usize,
    /// Outputs of a phase along each axis, and how many parts they are cut into.
    all: [usize; 3],
    pub(super) parts: [usize; 3],
    /// The first and the last place that a tap reads, along each axis.
    shifts: [(i64, i64); 3],
}

/// Some channels of an array side by side, at the positions of a band; zeros where the band has more than the array.
#[derive(Default)]
pub(super) struct Staged<K> {
    lanes: Room<K>,
    /// Where among them there are elements, and the lengths and channels of which that is said.
    found: Option<([Range<usize>; 3], [usize; 4])>,
    /// As they are stored.
    stored: Room<Line>,
    packed: Room<K>,
}

/// Memory of a thread.
#[derive(Default)]
struct Scratch<K> {
    inputs: Staged<K>,
    /// The weights of some channels, and of which.
    weights: Room<K>,
    holds: Option<Range<usize>>,
    begin: Room<K>,
    made: Room<K>,
    leaving: Leaving<K>,
}

/// What all bands share.
struct How<'a> {
    cut: &'a Cut,
    /// Lengths of a band's inputs and outputs, at most.
    extent: [usize; 3],
    outputs: [usize; 3],
    /// The first outputs of the phases, and their taps.
    phases: Vec<Phase>,
    taps: Vec<(usize, usize)>,
    /// Whether there are outputs without taps.
    bare: bool,
}

/// One unit of work: an image, channels, outputs of a phase along each axis.
struct Band {
    image: usize,
    channels: Range<usize>,
    at: [Range<usize>; 3],
}

impl Cut {
    /// Bands of up to `channels` of so many outputs, whose memory is known to `bytes`; none if they would be too large.
    pub(super) fn new(
        channels: usize,
        all: [usize; 3],
        (shifts, step): ([(i64, i64); 3], [usize; 3]),
        bytes: &dyn Fn(&Self) -> usize,
    ) -> Option<Self> {
        let mut cut = Self { channels, all, parts: [1; 3], shifts };
        while bytes(&cut) > BAND_BYTES && cut.channels > SOME_CHANNELS {
            cut.channels = (cut.channels / 2).next_multiple_of(FEWEST);
        }
        while bytes(&cut) > BAND_BYTES
            && let Some(axis) = cut.cheapest(step)
        {
            cut.parts[axis] = (2 * cut.parts[axis]).min(all[axis]);
        }
        (bytes(&cut) <= MOST_BYTES).then_some(cut)
    }

    /// The axis to cut next: where bands that are half as long read the fewest inputs twice. Long rows are better.
    fn cheapest(&self, step: [usize; 3]) -> Option<usize> {
        let grows = |axis: usize| {
            let extent = |parts: usize| {
                let mut outputs = [1; 3];
                outputs[axis] = self.all[axis].div_ceil(parts);
                self.extent(step, outputs)[axis] as f64
            };
            let by = 2.0 * extent(2 * self.parts[axis]) / extent(self.parts[axis]);
            if axis == 2 { by * LONG_ROWS } else { by }
        };
        let axes = (0..3).filter(|&axis| self.parts[axis] < self.all[axis]);
        axes.min_by(|&a, &b| grows(a).total_cmp(&grows(b)))
    }

    /// Where the first input lies that outputs from `first` on may read, along an axis.
    pub(super) fn from(&self, axis: usize, first: usize, step: usize) -> i128 {
        i128::from(self.shifts[axis].0) + first as i128 * step as i128
    }

    /// How far a tap that shifts by so many reads ahead of that.
    pub(super) fn ahead(&self, axis: usize, shift: i64) -> usize {
        // Within the extent, all of which is in memory.
        usize::try_from(shift - self.shifts[axis].0).unwrap_or(0)
    }

    /// Outputs of a band along each axis, at most.
    pub(super) fn band(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.all[a].div_ceil(self.parts[a]))
    }

    /// Lengths of the inputs that so many outputs of a phase read.
    pub(super) fn extent(&self, step: [usize; 3], outputs: [usize; 3]) -> [usize; 3] {
        [0, 1, 2].map(|a| {
            let far = usize::try_from(self.shifts[a].1 - self.shifts[a].0).unwrap_or(usize::MAX);
            (outputs[a] - 1).saturating_mul(step[a]).saturating_add(far).saturating_add(1)
        })
    }

    /// Outputs of part `i` along an axis.
    pub(super) fn part(&self, axis: usize, i: usize) -> Range<usize> {
        let (all, parts) = (self.all[axis], self.parts[axis]);
        all * i / parts..all * (i + 1) / parts
    }
}

/// The first and the last place that a tap reads, along each axis; none if no tap reads anything along one.
pub(super) fn shifts(phases: &[Arc<Vec<Phases>>; 3]) -> Option<[(i64, i64); 3]> {
    let mut shifts = [(0, 0); 3];
    for (shifts, phases) in shifts.iter_mut().zip(phases) {
        let all = || phases.iter().flat_map(|p| p.shifts.iter().copied());
        *shifts = all().min().zip(all().max())?;
    }
    Some(shifts)
}

/// Elements of a position of so many channels: whole vectors.
pub(super) fn pitch<K>(channels: usize) -> usize {
    channels.next_multiple_of(64 / size_of::<K>())
}

impl<K: Laned> Staged<K> {
    /// The channels, `[D, H, W, pitch]`.
    pub(super) fn lanes(&self) -> &[K] {
        &self.lanes
    }

    /// Puts `n` channels side by side, every so manyth block from the first on: the positions that begin at `from`, `extent` of
    /// them along each axis. The extent is the same each time.
    pub(super) fn fill<T: Multiplied<Product = K>>(
        &mut self,
        x: &Grid<*const T>,
        (first, n, every): (usize, usize, usize),
        (from, extent): ([i128; 3], [usize; 3]),
        pitch: usize,
    ) -> Result<()> {
        let elements = extent.iter().product::<usize>() * pitch;
        grow(&mut self.lanes, elements)?;
        let mut start = [0; 3];
        let found = [0, 1, 2].map(|a| {
            let (all, len) = (extent[a] as i128, x.spatial[a] as i128);
            let before = (-from[a]).clamp(0, all);
            let end = (len - from[a]).clamp(before, all);
            // All within the extent or the axis; where nothing is found, not used.
            start[a] = usize::try_from(from[a] + before).unwrap_or(0);
            before as usize..end as usize
        });
        let key = (found.clone(), [extent[0], extent[1], extent[2], n]);
        if self.found.as_ref() != Some(&key) {
            self.lanes[..elements].fill(K::default());
            self.found = Some(key);
        }
        let lens = found.each_ref().map(Range::len);
        if lens.contains(&0) {
            return Ok(());
        }
        let source = x.bare().side_by_side(first, n, every).part(start, lens);
        let codec = T::ProductCodec::default();
        if T::ProductCodec::SAME {
            let to = SideBySide::within(&mut self.lanes[..elements], extent, (n, pitch));
            return turn(&source, &to.part(found.each_ref().map(|f| f.start), lens));
        }
        let stored = room_for(&mut self.stored, source.shape(), source.size)?;
        turn(&source, &stored)?;
        let grid = stored.to_be_read().grid::<T>();
        let all = Place { block: 0, d: 0..lens[0], h: 0..lens[1], cols: 0..lens[2] };
        let rows = grid.rows(codec, &all, &mut self.packed)?;
        let [_, height, width] = extent;
        for (d, h) in (0..lens[0]).flat_map(|d| (0..lens[1]).map(move |h| (d, h))) {
            let to = ((d + found[0].start) * height + h + found[1].start) * width + found[2].start;
            let to = self.lanes[to * pitch..].chunks_exact_mut(pitch);
            for (to, from) in to.zip(rows.row(d, h).chunks_exact(n)) {
                to.iter_mut().zip(from).for_each(|(to, v)| *to = v.get());
            }
        }
        Ok(())
    }
}

/// Memory of a thread for results as they are stored.
#[derive(Default)]
pub(super) struct Leaving<K> {
    stored: Room<Line>,
    row: Room<K>,
}

impl<K: Laned> Leaving<K> {
    /// Puts `n` channels that lie side by side, `[D, H, W, pitch]`, where they belong.
    pub(super) fn put<T: Multiplied<Product = K>>(
        &mut self,
        made: (&mut [K], [usize; 3], usize),
        lens: [usize; 3],
        to: &SideBySide<*mut u8>,
    ) -> Result<()> {
        let (made, [_, height, width], pitch) = made;
        let n = to.shape()[3];
        if T::ProductCodec::SAME {
            let made =
                SideBySide::within(made, [made.len() / (height * width * pitch).max(1), height, width], (n, pitch));
            return turn(&made.part([0; 3], lens).to_be_read(), to);
        }
        let stored = room_for(&mut self.stored, to.shape(), to.size)?;
        let grid = stored.grid::<T>();
        grow(&mut self.row, lens[2] * n)?;
        let row = &mut self.row[..lens[2] * n];
        for (d, h) in (0..lens[0]).flat_map(|d| (0..lens[1]).map(move |h| (d, h))) {
            let from = made[(d * height + h) * width * pitch..].chunks_exact(pitch);
            for (to, from) in row.chunks_exact_mut(n).zip(from) {
                to.copy_from_slice(&from[..n]);
            }
            grid.store_from(T::ProductCodec::default(), At { block: 0, d, h }, &(0..lens[2]), row);
        }
        turn(&stored.to_be_read(), to)
    }
}

impl<T: Multiplied> Map<'_, T> {
    /// How the work is cut, if channels are better side by side.
    fn side_by_side(&self, phases: &[Arc<Vec<Phases>>; 3]) -> Option<Cut> {
        let lies_so = self.x.lies_channels_last();
        // Both lengths count, for both arrays are turned.
        let mean = |a: usize| self.links[a].in_len.midpoint(self.links[a].out_len);
        let narrow = mean(2) <= NARROW + BEGUN * NARROW / mean(0).saturating_mul(mean(1)).max(1);
        if self.ins != 1 || self.groups < FEWEST || self.lead != [0; 3] || !(lies_so || narrow) {
            return None;
        }
        let all = [0, 1, 2].map(|a| self.links[a].out_len.div_ceil(self.links[a].out_step));
        let step = [0, 1, 2].map(|a| self.links[a].in_step);
        Cut::new(self.groups.min(MOST_CHANNELS), all, (shifts(phases)?, step), &|cut| self.bytes(cut))
    }

    /// Bytes of a band, with its results and its weights.
    fn bytes(&self, cut: &Cut) -> usize {
        let product = |lens: [usize; 3]| lens.into_iter().fold(1usize, usize::saturating_mul);
        let (extent, outputs) = self.lengths(cut);
        let weights = self.links.iter().fold(self.outs, |n, l| n.saturating_mul(l.runs.len()));
        let elements = product(extent).saturating_add(product(outputs)).saturating_add(weights);
        elements.saturating_mul(pitch::<T::Product>(cut.channels) * size_of::<T::Product>())
    }

    /// Lengths of a band's inputs and outputs, at most.
    fn lengths(&self, cut: &Cut) -> ([usize; 3], [usize; 3]) {
        let band = cut.band();
        let outputs = [0, 1, 2].map(|a| band[a].saturating_mul(self.links[a].out_step).min(self.links[a].out_len));
        (cut.extent([0, 1, 2].map(|a| self.links[a].in_step), band), outputs)
    }

    /// Computes the result with channels side by side, if that is better.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub(super) fn by_channels(&self, phases: &[Arc<Vec<Phases>>; 3]) -> Result<bool> {
        let Some(cut) = self.side_by_side(phases) else { return Ok(false) };
        let (extent, outputs) = self.lengths(&cut);
        let (mut list, mut taps) = (Vec::new(), Vec::new());
        let lens = [0, 1, 2].map(|a| self.links[a].runs.len());
        let place = |[_, h, w]: [usize; 3], at: [usize; 3]| (at[0] * h + at[1]) * w + at[2];
        let members = |a: usize| phases[a].iter().flat_map(|p| p.members.iter().map(move |m| (&p.shifts, m)));
        for (ds, d) in members(0) {
            for (hs, h) in members(1) {
                for (ws, w) in members(2) {
                    let first = taps.len();
                    for (td, sd) in d.taps.iter().zip(ds) {
                        for (th, sh) in h.taps.iter().zip(hs) {
                            for (tw, sw) in w.taps.iter().zip(ws) {
                                let ahead = [(0, *sd), (1, *sh), (2, *sw)].map(|(a, shift)| cut.ahead(a, shift));
                                taps.push((place(extent, ahead), place(lens, [*td, *th, *tw])));
                            }
                        }
                    }
                    let residue = [d.residue, h.residue, w.residue];
                    list.push(Phase { taps: first..taps.len(), first: residue, count: [0; 3] });
                }
            }
        }
        let bare = (0..3).any(|a| members(a).count() < self.links[a].phase_count());
        let how = How { cut: &cut, extent, outputs, phases: list, taps, bare };
        let chunks = self.groups.div_ceil(cut.channels);
        let [d, h, w] = cut.parts;
        let units = chunks * self.batch * d * h * w;
        let made: usize = outputs.iter().product();
        let taps = how.taps.len() / how.phases.len().max(1);
        let each = extent.iter().product::<usize>() + made * (1 + taps / PRODUCTS_PER_ELEMENT) * self.outs;
        parallel::for_each_with(
            units,
            each.saturating_mul(cut.channels),
            || Ok(Scratch::default()),
            |scratch, units, pause| {
                for unit in units {
                    let (rest, bw) = (unit / w, unit % w);
                    let (rest, bh) = (rest / h, rest % h);
                    let (rest, bd) = (rest / d, rest % d);
                    let (chunk, image) = (rest / self.batch, rest % self.batch);
                    let channels = chunk * cut.channels..((chunk + 1) * cut.channels).min(self.groups);
                    let at = [cut.part(0, bd), cut.part(1, bh), cut.part(2, bw)];
                    let band = Band { image, channels, at };
                    parallel::alone(&mut || self.channels_of(&how, &band, scratch))?;
                    pause.here()?;
                }
                Ok(())
            },
        )?;
        Ok(true)
    }

    /// Computes one band.
    fn channels_of(&self, how: &How<'_>, band: &Band, scratch: &mut Scratch<T::Product>) -> Result<()> {
        let (n, pitch) = (band.channels.len(), pitch::<T::Product>(how.cut.channels));
        let from = [0, 1, 2].map(|a| how.cut.from(a, band.at[a].start, self.links[a].in_step));
        let first = band.image * self.groups + band.channels.start;
        scratch.inputs.fill(&self.x, (first, n, 1), (from, how.extent), pitch)?;
        if scratch.holds.as_ref() != Some(&band.channels) {
            scratch.holds = None;
            let lens = [0, 1, 2].map(|a| self.links[a].runs.len());
            let each = lens.iter().product::<usize>() * pitch;
            grow(&mut scratch.weights, self.outs * each)?;
            for (o, to) in scratch.weights[..self.outs * each].chunks_exact_mut(each.max(1)).enumerate() {
                let place = self.weights_of(band.channels.start, 0);
                let ([d, h, w], [sd, sh, sw]) = (lens, place.spatial);
                let strides = [sd, sh, sw, self.weight.strides[0]];
                let from = SideBySide::new(place.at([o, 0], [0; 3]), [d, h, w, n], strides);
                turn(&from, &SideBySide::within(to, lens, (n, pitch)))?;
            }
            scratch.holds = Some(band.channels.clone());
        }
        let reach = [0, 1, 2].map(|a| {
            let step = self.links[a].out_step;
            band.at[a].start * step..(band.at[a].end * step).min(self.links[a].out_len)
        });
        let made = how.outputs.iter().product::<usize>() * pitch;
        grow(&mut scratch.made, made)?;
        grow(&mut scratch.begin, pitch)?;
        let phases: Vec<Phase> = how
            .phases
            .iter()
            .map(|p| {
                let step = |a: usize| self.links[a].out_step;
                let count = [0, 1, 2].map(|a| reach[a].len().saturating_sub(p.first[a]).div_ceil(step(a)));
                Phase { count, ..p.clone() }
            })
            .collect();
        let weights = self.links.iter().map(|l| l.runs.len()).product::<usize>() * pitch;
        for o in 0..self.outs {
            if let Some(bias) = self.bias {
                let biases = bias[band.channels.start * self.outs + o..].iter().step_by(self.outs);
                scratch.begin.iter_mut().zip(biases.take(n)).for_each(|(to, v)| *to = *v);
            }
            if how.bare {
                scratch.made[..made].chunks_exact_mut(pitch).for_each(|to| to.copy_from_slice(&scratch.begin[..pitch]));
            }
            simd::dispatch(Channels {
                pitch,
                inputs: (scratch.inputs.lanes(), how.extent),
                step: [0, 1, 2].map(|a| self.links[a].in_step),
                phases: &phases,
                taps: &how.taps,
                weights: &scratch.weights[o * weights..(o + 1) * weights],
                begin: &scratch.begin,
                made: (&mut scratch.made[..made], how.outputs),
                out_step: [0, 1, 2].map(|a| self.links[a].out_step),
            });
            let first = (band.image * self.groups + band.channels.start) * self.outs + o;
            let lens = reach.each_ref().map(Range::len);
            let to = self.out.bare().side_by_side(first, n, self.outs).part(reach.each_ref().map(|r| r.start), lens);
            scratch.leaving.put::<T>((&mut scratch.made[..made], how.outputs, pitch), lens, &to)?;
        }
        Ok(())
    }
}
