//! The gradient of a convolution's weight: the same tiles, with places as their steps.
//!
//! Of the two sides that a weight joins, the short one has a place for every step of the stride: a convolution's output,
//! a transposed convolution's input. The gradient of the weight that joins channels `a` and `b` by a tap is the sum over
//! places `j` of `short[a][j] * long[b][stride*j + tap]`. The short side is read where it lies, one factor at a time. The
//! long side is copied, band by band, with its channels innermost: they are the lanes, and with them the taps that read
//! neighbours along W.

use std::ops::Range;
use std::sync::Arc;

use super::map::Stretches;
use crate::element::Multiplied;
use crate::engine::parallel::{self, Pause};
use crate::engine::products::{Correlations, Deliver, Place, Tap, Taps};
use crate::engine::room::{Room, grow, scratch};
use crate::engine::rows::{self, At};
use crate::engine::simd;
use crate::error::Result;
use crate::geometry::phase::{Links, Phases};
use crate::geometry::taps::reserved;
use crate::layout::Grid;

/// Bytes of a band's copy to aim at.
const BAND_BYTES: usize = 384 << 10;

/// Farthest that taps may read from each other and yet share a stretch, which is copied with all that lies between them.
const NEAR: usize = 8;

/// Most places along W of a band, so that the table of a row's steps stays in L1.
const MOST_COLUMNS: usize = 1024;

/// Bytes of the channels that are lanes together: three of the widest registers.
const LANE_BYTES: usize = 192;

/// Most bytes of sums of one unit.
const SUM_BYTES: usize = 2 << 20;

/// Cost of a product, as a share of an element's.
const PRODUCTS_PER_ELEMENT: usize = 48;

/// Both sides and the result.
pub struct WeightGrad<'a, T: Multiplied> {
    /// Images.
    pub batch: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Channels of a group on the short side, the weight's first axis, and on the long side.
    pub channels: [usize; 2],
    /// The taps of each axis, from the long side to the short.
    pub links: &'a [Links; 3],
    /// The short side.
    pub short: Grid<*const T>,
    /// The long side.
    pub long: Grid<*const T>,
    /// The gradient.
    pub out: Grid<*mut T>,
}

/// How the work is cut.
struct Layout {
    /// Places of a band along H and W (one along D), and how many bands there are.
    band: [usize; 2],
    parts: [usize; 2],
    stretches: [Stretches; 3],
    /// Positions of a stretch along D, H and W.
    extent: [usize; 3],
    /// Parts of the long channels and of the short ones.
    cuts: [usize; 2],
    /// Taps along W that read neighbours: the shift of the first, and the taps.
    runs: Vec<(i64, Vec<usize>)>,
}

/// One unit of work: the weights that join some channels of a group.
struct Unit {
    group: usize,
    /// Channels of the short side, and of the long.
    a: Range<usize>,
    b: Range<usize>,
    /// Elements of the sums of one run of taps and one short channel, a whole number of registers.
    pitch: usize,
}

/// Places of the short side: an image, a plane, rows and columns.
struct Band {
    n: usize,
    d: usize,
    rows: Range<usize>,
    cols: Range<usize>,
}

/// Memory of one thread.
struct Scratch<K> {
    staged: Room<K>,
    packed: Room<K>,
    short: Room<K>,
    sums: Room<K>,
    row: Room<K>,
    steps: Vec<(isize, isize)>,
}

impl Layout {
    /// Elements of the sums of one run of taps over `lanes` channels, a whole number of registers.
    fn pitch(&self, lanes: usize, item: usize) -> usize {
        let widest = self.runs.iter().map(|r| r.1.len()).max().unwrap_or(0) * lanes;
        widest.max(1).next_multiple_of((64 / item).max(1))
    }
}

impl<T: Multiplied> WeightGrad<'_, T> {
    /// Computes the gradient.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn run(&self) -> Result<()> {
        let [d, h, w] = self.links;
        let phases = [d.phases()?, h.phases()?, w.phases()?];
        if self.by_channels(&phases)? {
            return Ok(());
        }
        let layout = self.layout(&phases);
        let [b_cuts, a_cuts] = layout.cuts;
        let places = self.batch * self.short.spatial.iter().product::<usize>();
        let taps: usize = self.links.iter().map(|l| l.runs.len()).product();
        let per_unit = self.channels[0].div_ceil(a_cuts) * self.channels[1].div_ceil(b_cuts);
        let cost = places.saturating_mul(taps).saturating_mul(per_unit) / PRODUCTS_PER_ELEMENT;
        let make = || {
            Ok(Scratch {
                staged: Room::default(),
                packed: Room::default(),
                short: Room::default(),
                sums: Room::default(),
                row: scratch(self.links[2].runs.len())?,
                steps: Vec::new(),
            })
        };
        parallel::for_each_with(self.groups * a_cuts * b_cuts, cost, make, |s, units, pause| {
            for unit in units {
                let (rest, b) = (unit / b_cuts, unit % b_cuts);
                let (group, a) = (rest / a_cuts, rest % a_cuts);
                let [all_a, all_b] = self.channels;
                let a = all_a * a / a_cuts..all_a * (a + 1) / a_cuts;
                let b = all_b * b / b_cuts..all_b * (b + 1) / b_cuts;
                let b_len = b.len();
                self.unit(
                    &layout,
                    &phases,
                    &Unit { group, a, b, pitch: layout.pitch(b_len, size_of::<T::Product>()) },
                    s,
                    pause,
                )?;
            }
            Ok(())
        })
    }

    fn layout(&self, phases: &[Arc<Vec<Phases>>; 3]) -> Layout {
        let [_, h, w] = self.short.spatial;
        let stretches = |axis: usize| Stretches::new(&phases[axis], 1, self.links[axis].in_step.clamp(NEAR, 8 * NEAR));
        let item = size_of::<T::Product>();
        let [a, b] = self.channels;
        let b_cuts = b.div_ceil((LANE_BYTES / item).max(1));
        let taps: usize = self.links.iter().map(|l| l.runs.len()).product();
        let lanes = b.div_ceil(b_cuts) * taps;
        let most = (SUM_BYTES / (lanes * item)).max(8);
        // Where there are few parts of the long side, threads share the short one's channels.
        let a_cuts = a.div_ceil(most).max((4 / (b_cuts * self.groups)).clamp(1, a.div_ceil(8)));
        let mut runs: Vec<(i64, Vec<usize>)> = Vec::new();
        for phase in phases[2].iter().take(1) {
            for (&shift, &tap) in phase.shifts.iter().zip(&phase.members[0].taps) {
                match runs.last_mut() {
                    Some((first, taps)) if *first + taps.len() as i64 == shift => taps.push(tap),
                    _ => runs.push((shift, vec![tap])),
                }
            }
        }
        let mut layout = Layout {
            band: [1, w],
            parts: [h, 1],
            stretches: [stretches(0), stretches(1), stretches(2)],
            extent: [1; 3],
            cuts: [b_cuts, a_cuts],
            runs,
        };
        let lanes = b.div_ceil(b_cuts) * item;
        let cut = |layout: &mut Layout, axis: usize, most: usize| {
            let all = [h, w][axis];
            layout.parts[axis] = all.div_ceil(most.max(1)).max(1);
            layout.band[axis] = all.div_ceil(layout.parts[axis]);
            let places = [1, layout.band[0], layout.band[1]];
            layout.extent = [0, 1, 2]
                .map(|a| (places[a] - 1).saturating_mul(self.links[a].in_step) + 1 + layout.stretches[a].extra);
            let stretches: usize = layout.stretches.iter().map(|s| s.starts.len()).product();
            layout.extent.iter().fold(stretches * lanes, |n, &e| n.saturating_mul(e))
        };
        let mut bytes = cut(&mut layout, 1, MOST_COLUMNS);
        while bytes > BAND_BYTES && layout.band[1] > 1 {
            let half = layout.band[1] / 2;
            bytes = cut(&mut layout, 1, half);
        }
        let mut rows = 1;
        while rows < h && cut(&mut layout, 0, 2 * rows) <= BAND_BYTES {
            rows *= 2;
        }
        cut(&mut layout, 0, rows);
        layout
    }

    /// The gradient of the weights that join some channels of a group.
    fn unit(
        &self,
        layout: &Layout,
        phases: &[Arc<Vec<Phases>>; 3],
        unit: &Unit,
        s: &mut Scratch<T::Product>,
        pause: &Pause<'_>,
    ) -> Result<()> {
        let (a, pitch) = (&unit.a, unit.pitch);
        let [taps_d, taps_h] = [0, 1].map(|axis| phases[axis].first().map_or(&[][..], |p| &p.shifts[..]));
        let lanes = unit.b.len();
        let groups_of_taps = taps_d.len() * taps_h.len() * layout.runs.len();
        grow(&mut s.sums, groups_of_taps * a.len() * pitch)?;
        s.sums.fill(T::Product::default());
        let [_, eh, ew] = layout.extent;
        let count = [0, 1, 2].map(|axis| layout.stretches[axis].starts.len());
        let stretch = layout.extent.iter().product::<usize>();
        let mut taps = reserved(groups_of_taps)?;
        for &d in taps_d {
            for &h in taps_h {
                for (w, of_run) in &layout.runs {
                    let found = [layout.stretches[0].of(d), layout.stretches[1].of(h), layout.stretches[2].of(*w)];
                    let which = (found[0].0 * count[1] + found[1].0) * count[2] + found[2].0;
                    let position = which * stretch + (found[0].1 * eh + found[1].1) * ew + found[2].1;
                    taps.push(Taps { lane: position * lanes, lanes: of_run.len() * lanes });
                }
            }
        }
        let [depth, height, width] = self.short.spatial;
        let part = |all: usize, parts: usize, i: usize| all * i / parts..all * (i + 1) / parts;
        for n in 0..self.batch {
            for d in 0..depth {
                for bh in 0..layout.parts[0] {
                    for bw in 0..layout.parts[1] {
                        let rows = part(height, layout.parts[0], bh);
                        let cols = part(width, layout.parts[1], bw);
                        let band = Band { n, d, rows, cols };
                        self.stage(layout, unit, &band, s)?;
                        self.correlate(layout, unit, &band, &taps, s)?;
                    }
                    pause.here()?;
                }
            }
        }
        self.deliver(layout, phases, unit, s)
    }

    /// Adds a band's share.
    fn correlate(
        &self,
        layout: &Layout,
        unit: &Unit,
        band: &Band,
        taps: &[Taps],
        s: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let (a, lanes) = (&unit.a, unit.b.len());
        let Band { n, d, rows, cols } = band;
        let (n, d) = (*n, *d);
        let first = unit.group * self.channels[0] + a.start;
        let (origin, channel, [_, sh, sw]) = if let Some(place) = self.short.place::<T::ProductCodec>() {
            (place.at([n, first], [d, rows.start, cols.start]), place.outer[1], place.spatial)
        } else {
            let of_channel = rows.len() * cols.len();
            grow(&mut s.short, a.len() * of_channel)?;
            grow(&mut s.packed, cols.len())?;
            for (i, to) in s.short.chunks_exact_mut(of_channel).take(a.len()).enumerate() {
                let block = n * self.groups * self.channels[0] + first + i;
                for (h, to) in rows.clone().zip(to.chunks_exact_mut(cols.len())) {
                    let row = self.short.load(T::ProductCodec::default(), At { block, d, h }, cols, &mut s.packed);
                    to.iter_mut().zip(row).for_each(|(to, v)| *to = v.get());
                }
            }
            (s.short.as_ptr(), of_channel as isize, [0, cols.len() as isize, 1])
        };
        let step = [1, 2].map(|axis| self.links[axis].in_step);
        let lane_w = (step[1] * lanes) as isize;
        let lane_h = (step[0] * layout.extent[2] * lanes) as isize;
        s.steps.clear();
        let last = cols.len() as isize - 1;
        s.steps.extend((0..last).map(|_| (sw, lane_w)));
        s.steps.push((sh.wrapping_sub(last.wrapping_mul(sw)), lane_h - last * lane_w));
        simd::dispatch(Correlations {
            short: origin,
            channel,
            channels: a.len(),
            lanes: &s.staged,
            taps,
            rows: rows.len(),
            steps: &s.steps,
            sums: &mut s.sums,
            pitch: unit.pitch,
        });
        Ok(())
    }

    /// Copies the long side of a band, channels innermost, zeros around it.
    fn stage(&self, layout: &Layout, unit: &Unit, band: &Band, s: &mut Scratch<T::Product>) -> Result<()> {
        let b = &unit.b;
        let at = [band.d, band.rows.start, band.cols.start];
        let places = [1, band.rows.len(), band.cols.len()];
        let extent = layout.extent;
        let count: usize = layout.stretches.iter().map(|s| s.starts.len()).product();
        let lanes = b.len();
        let all = count * extent.iter().product::<usize>() * lanes;
        // A tile may read a run's lanes rounded up to whole registers.
        grow(&mut s.staged, all + 64)?;
        s.staged[..all].fill(T::Product::default());
        let codec = T::ProductCodec::default();
        let base = [0, 1, 2].map(|axis| at[axis] as i128 * self.links[axis].in_step as i128);
        let mut stretch = 0;
        for &start_d in &layout.stretches[0].starts {
            for &start_h in &layout.stretches[1].starts {
                for &start_w in &layout.stretches[2].starts {
                    let starts = [start_d, start_h, start_w];
                    let found = [0, 1, 2].map(|axis| {
                        let link = &self.links[axis];
                        let first = base[axis] + i128::from(starts[axis]);
                        let needed = (places[axis] - 1) * link.in_step + 1 + layout.stretches[axis].extra;
                        let before = (-first).clamp(0, needed as i128);
                        let end = (link.in_len as i128 - first).clamp(before, needed as i128);
                        ((first + before).max(0) as usize, before as usize..end as usize)
                    });
                    let [d, h, w] = &found;
                    if !(d.1.is_empty() || h.1.is_empty() || w.1.is_empty()) {
                        for (lane, channel) in b.clone().enumerate() {
                            let block = (band.n * self.groups + unit.group) * self.channels[1] + channel;
                            let place = rows::Place {
                                block,
                                d: d.0..d.0 + d.1.len(),
                                h: h.0..h.0 + h.1.len(),
                                cols: w.0..w.0 + w.1.len(),
                            };
                            let source = self.long.rows(codec, &place, &mut s.packed)?;
                            for (i, j) in d.1.clone().enumerate() {
                                for (k, l) in h.1.clone().enumerate() {
                                    let row = source.row(d.0 + i, h.0 + k);
                                    let first = stretch + (j * extent[1] + l) * extent[2] + w.1.start;
                                    let to = s.staged[first * lanes + lane..].iter_mut().step_by(lanes);
                                    to.zip(row).for_each(|(to, v)| *to = v.get());
                                }
                            }
                        }
                    }
                    stretch += extent.iter().product::<usize>();
                }
            }
        }
        Ok(())
    }

    /// Writes the sums to the gradient.
    fn deliver(
        &self,
        layout: &Layout,
        phases: &[Arc<Vec<Phases>>; 3],
        unit: &Unit,
        s: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let Unit { group, a, b, pitch } = unit;
        let taps = self.taps(layout, phases, unit)?;
        let first = [group * self.channels[0] + a.start, b.start];
        if let Some(place) = self.out.place_mut::<T::ProductCodec>() {
            let taps: Vec<Tap> = {
                let mut v = reserved(taps.len())?;
                v.extend(taps.iter().map(|(sum, at)| Tap { sum: *sum, to: place.offset([0; 2], *at) }));
                v
            };
            let to = Place { origin: place.origin.wrapping_offset(place.offset(first, [0; 3])), ..place };
            let channels = [a.len(), b.len()];
            simd::dispatch(Deliver { sums: &s.sums, pitch: *pitch, taps: &taps, channels, to });
            return Ok(());
        }
        let kw = self.links[2].runs.len();
        for (i, j) in (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j))) {
            let block = (first[0] + i) * self.channels[1] + b.start + j;
            for row in taps.chunks_exact(kw) {
                for (to, (sum, _)) in s.row.iter_mut().zip(row) {
                    *to = sum.map_or_else(Default::default, |first| s.sums[first + i * pitch + j]);
                }
                let [d, h, _] = row[0].1;
                self.out.store_from(T::ProductCodec::default(), At { block, d, h }, &(0..kw), &mut s.row);
            }
        }
        Ok(())
    }

    /// For every tap of the kernel the place of its first sum, if it has any, and its own place.
    fn taps(
        &self,
        layout: &Layout,
        phases: &[Arc<Vec<Phases>>; 3],
        unit: &Unit,
    ) -> Result<Vec<(Option<usize>, [usize; 3])>> {
        let [kd, kh, kw] = [0, 1, 2].map(|axis| self.links[axis].runs.len());
        let place = |axis: usize, tap: usize| {
            phases[axis].first().and_then(|p| p.members[0].taps.iter().position(|&t| t == tap))
        };
        let taps_h = phases[1].first().map_or(0, |p| p.shifts.len());
        let mut all = reserved(kd * kh * kw)?;
        for (d, h) in (0..kd).flat_map(|d| (0..kh).map(move |h| (d, h))) {
            let plane = place(0, d).zip(place(1, h)).map(|(d, h)| d * taps_h + h);
            for w in 0..kw {
                let run = layout
                    .runs
                    .iter()
                    .enumerate()
                    .find_map(|(r, (_, taps))| taps.iter().position(|&tap| tap == w).map(|t| (r, t)));
                let sum = plane.zip(run).map(|(plane, (r, t))| {
                    (plane * layout.runs.len() + r) * unit.a.len() * unit.pitch + t * unit.b.len()
                });
                all.push((sum, [d, h, w]));
            }
        }
        Ok(all)
    }
}
