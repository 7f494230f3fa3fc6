//! The gradient of the weights of a convolution of one channel each, its channels side by side, as
//! [`channels`](super::channels) has the result.
//!
//! (3 x 3 of 512 channels of 14 x 14, with the gradient of the input, took 720 µs channel by channel, where a vector holds three
//! taps of one channel, and takes 160.)

use std::ops::Range;
use std::sync::Arc;

use super::channels::{Cut, FEWEST, Leaving, SOME_CHANNELS, Staged, pitch, shifts};
use super::weight_grad::WeightGrad;
use crate::element::{Laned, Multiplied};
use crate::engine::channels::TapSums;
use crate::engine::parallel::{self, Pause};
use crate::engine::room::{Room, grow};
use crate::engine::simd;
use crate::error::Result;
use crate::geometry::phase::Phases;
use crate::geometry::taps::reserved;

/// Most channels at once, and parts of the channels to aim at: they are what threads share.
const MOST_CHANNELS: usize = 64;
const SHARED: usize = 8;

/// Cost of a product, as a share of an element's.
const PRODUCTS_PER_ELEMENT: usize = 64;

/// Memory of a thread.
#[derive(Default)]
struct Scratch<K> {
    short: Staged<K>,
    long: Staged<K>,
    /// For every pair of channels of a group `[taps, pitch]`.
    sums: Room<K>,
    /// Those of a pair at their places in the kernel.
    made: Room<K>,
    leaving: Leaving<K>,
}

/// What all channels share.
struct How<'a> {
    cut: &'a Cut,
    /// Lengths of a band on both sides, at most.
    extent: [usize; 3],
    places: [usize; 3],
    /// How far ahead each tap reads, and its place in the kernel.
    ahead: Vec<usize>,
    taps: Vec<usize>,
}

impl<T: Multiplied> WeightGrad<'_, T> {
    /// Elements of a kernel.
    fn kernel(&self) -> [usize; 3] {
        [0, 1, 2].map(|a| self.links[a].runs.len())
    }

    /// Bytes of a band, with its sums.
    fn bytes(&self, cut: &Cut) -> usize {
        let product = |lens: [usize; 3]| lens.into_iter().fold(1usize, usize::saturating_mul);
        let extent = cut.extent(self.links.each_ref().map(|l| l.in_step), cut.band());
        let sums = product(self.kernel()).saturating_mul(self.channels[0].saturating_mul(self.channels[1]) + 1);
        let elements = product(extent).saturating_add(product(cut.band())).saturating_add(sums);
        elements.saturating_mul(pitch::<T::Product>(cut.channels) * size_of::<T::Product>())
    }

    /// Computes the gradient with channels side by side, if that is better.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub(super) fn by_channels(&self, phases: &[Arc<Vec<Phases>>; 3]) -> Result<bool> {
        if const { <T::Product as Laned>::LARGEST.1 <= 2 } || !self.channels.contains(&1) || self.groups < FEWEST {
            return Ok(false);
        }
        let most = (self.groups / SHARED).next_multiple_of(FEWEST).clamp(SOME_CHANNELS, MOST_CHANNELS).min(self.groups);
        let step = self.links.each_ref().map(|l| l.in_step);
        let cut = shifts(phases)
            .and_then(|shifts| Cut::new(most, self.short.spatial, (shifts, step), &|cut| self.bytes(cut)));
        let Some(cut) = cut else { return Ok(false) };
        let extent = cut.extent(step, cut.band());
        let [_, kh, kw] = self.kernel();
        let (mut ahead, mut taps) = (Vec::new(), Vec::new());
        let pairs = |a: usize| phases[a].iter().take(1).flat_map(|p| p.shifts.iter().zip(&p.members[0].taps));
        for (sd, d) in pairs(0) {
            for (sh, h) in pairs(1) {
                for (sw, w) in pairs(2) {
                    let [d_ahead, h_ahead, w_ahead] = [cut.ahead(0, *sd), cut.ahead(1, *sh), cut.ahead(2, *sw)];
                    ahead.push((d_ahead * extent[1] + h_ahead) * extent[2] + w_ahead);
                    taps.push((d * kh + h) * kw + w);
                }
            }
        }
        let how = How { cut: &cut, extent, places: cut.band(), ahead, taps };
        let chunks = self.groups.div_ceil(cut.channels);
        let elements = self.batch * self.short.spatial.iter().product::<usize>() * cut.channels;
        let each = self.channels[0].saturating_mul(self.channels[1]).saturating_mul(1 + how.taps.len());
        let cost = elements.saturating_mul(each) / PRODUCTS_PER_ELEMENT + elements;
        parallel::for_each_with(
            chunks,
            cost,
            || Ok(Scratch::default()),
            |scratch, chunks, pause| {
                for chunk in chunks {
                    let channels = chunk * cut.channels..((chunk + 1) * cut.channels).min(self.groups);
                    self.of_channels(&how, &channels, scratch, pause)?;
                }
                Ok(())
            },
        )?;
        Ok(true)
    }

    /// The gradient of the weights of some groups.
    fn of_channels(
        &self,
        how: &How<'_>,
        channels: &Range<usize>,
        scratch: &mut Scratch<T::Product>,
        pause: &Pause<'_>,
    ) -> Result<()> {
        let ([shorts, longs], pitch) = (self.channels, pitch::<T::Product>(how.cut.channels));
        let of_pair = how.taps.len() * pitch;
        grow(&mut scratch.sums, shorts * longs * of_pair)?;
        scratch.sums.fill(T::Product::default());
        let [d, h, w] = how.cut.parts;
        let mut bands = reserved(d * h * w)?;
        for (d, h) in (0..d).flat_map(|d| (0..h).map(move |h| (d, h))) {
            bands.extend((0..w).map(|w| [how.cut.part(0, d), how.cut.part(1, h), how.cut.part(2, w)]));
        }
        for image in 0..self.batch {
            for band in &bands {
                parallel::alone(&mut || self.add_band(how, (image, channels, band), pitch, scratch))?;
                pause.here()?;
            }
        }
        let kernel = self.kernel();
        let all = kernel.iter().product::<usize>() * pitch;
        grow(&mut scratch.made, all)?;
        // Taps that meet nothing are zero.
        scratch.made[..all].fill(T::Product::default());
        parallel::alone(&mut || {
            for (short, long) in (0..shorts).flat_map(|s| (0..longs).map(move |l| (s, l))) {
                let pair = short * longs + long;
                for (i, tap) in how.taps.iter().enumerate() {
                    let from = &scratch.sums[pair * of_pair + i * pitch..][..pitch];
                    scratch.made[tap * pitch..][..pitch].copy_from_slice(from);
                }
                let first = (channels.start * shorts + short) * longs + long;
                let to = self.out.bare().side_by_side(first, channels.len(), shorts * longs);
                scratch.leaving.put::<T>((&mut scratch.made[..all], kernel, pitch), kernel, &to)?;
            }
            Ok(())
        })
    }

    /// Adds a band's share to the sums.
    fn add_band(
        &self,
        how: &How<'_>,
        (image, channels, band): (usize, &Range<usize>, &[Range<usize>; 3]),
        pitch: usize,
        scratch: &mut Scratch<T::Product>,
    ) -> Result<()> {
        let [shorts, longs] = self.channels;
        let group = image * self.groups + channels.start;
        let step = self.links.each_ref().map(|l| l.in_step);
        let begins = band.each_ref().map(|b| b.start as i128);
        let from = [0, 1, 2].map(|a| how.cut.from(a, band[a].start, step[a]));
        for long in 0..longs {
            let first = (group * longs + long, channels.len(), longs);
            scratch.long.fill(&self.long, first, (from, how.extent), pitch)?;
            for short in 0..shorts {
                // (One of both sides has one channel: where the long side has several, the short one is there already.)
                if long == 0 {
                    let first = (group * shorts + short, channels.len(), shorts);
                    scratch.short.fill(&self.short, first, (begins, how.places), pitch)?;
                }
                let of_pair = how.taps.len() * pitch;
                simd::dispatch(TapSums {
                    pitch,
                    short: (scratch.short.lanes(), how.places),
                    long: (scratch.long.lanes(), how.extent),
                    count: band.each_ref().map(Range::len),
                    step,
                    taps: &how.ahead,
                    sums: &mut scratch.sums[(short * longs + long) * of_pair..][..of_pair],
                });
            }
        }
        Ok(())
    }
}
