//! Which kernel tap joins which output to which input along one axis.
//!
//! A convolution's tap `k` joins output `o` to input `o*stride + k*dilation - pad`; a transposed convolution swaps the
//! two. Both are runs of equally spaced pairs, so one kernel serves both, and the backward of either is the other.
//! Split by residue (`o mod out_step`, `i mod in_step`), every run is contiguous: the phases of a transposed
//! convolution, or the polyphase components of a strided one.

use std::ops::Range;
use std::sync::Arc;

use super::recent;
use super::taps::{append, reserved};
use super::window::{Pad, Windows};
use crate::error::Result;

/// The pairs one tap joins: outputs `out + out_step*j`, inputs `in_ + in_step*j`, for `j < len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First output position.
    pub out: usize,
    /// First input position.
    pub in_: usize,
    /// Number of pairs; may be zero.
    pub len: usize,
}

/// All taps of one axis, in kernel order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// Elements along the input axis.
    pub in_len: usize,
    /// Elements along the output axis.
    pub out_len: usize,
    /// Distance between the inputs of a run.
    pub in_step: usize,
    /// Distance between the outputs of a run.
    pub out_step: usize,
    /// One run for each kernel tap.
    pub runs: Vec<Run>,
    /// Of a [part](Links::part): the residue and the shift of each tap that the whole has, be there a pair of it or not.
    places: Option<Vec<Option<(usize, i64)>>>,
}

/// Pairs `(short, long)` with `long = short*stride + tap*dilation - pad.before`, both in range.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
)]
fn run(short_len: usize, long_len: usize, stride: usize, shift: i128) -> (usize, usize, usize) {
    // shift = tap*dilation - pad.before; long = short*stride + shift must lie in 0..long_len.
    let (stride, long) = (stride as i128, long_len as i128);
    let lo = if shift >= 0 { 0 } else { (-shift + stride - 1) / stride };
    let hi = if long > shift { (long - 1 - shift) / stride + 1 } else { 0 };
    let hi = hi.min(short_len as i128);
    if hi <= lo {
        return (0, 0, 0);
    }
    let first_long = lo * stride + shift;
    // Both are within 0..len of an axis, so they fit.
    (usize::try_from(lo).unwrap_or(0), usize::try_from(first_long).unwrap_or(0), usize::try_from(hi - lo).unwrap_or(0))
}

impl Links {
    /// Taps of a convolution over these windows.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn conv(w: &Windows) -> Result<Self> {
        let mut runs = reserved(w.kernel)?;
        runs.extend((0..w.kernel).map(|k| {
            let (out, in_, len) = run(w.out_len, w.in_len, w.stride, shift(k, w.dilation, w.pad));
            Run { out, in_, len }
        }));
        Ok(Self { in_len: w.in_len, out_len: w.out_len, in_step: w.stride, out_step: 1, runs, places: None })
    }

    /// Taps of a transposed convolution from `in_len` to `out_len` elements.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn transposed(
        in_len: usize,
        out_len: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        pad: Pad,
    ) -> Result<Self> {
        let mut runs = reserved(kernel)?;
        runs.extend((0..kernel).map(|k| {
            let (in_, out, len) = run(in_len, out_len, stride, shift(k, dilation, pad));
            Run { out, in_, len }
        }));
        Ok(Self { in_len, out_len, in_step: 1, out_step: stride, runs, places: None })
    }

    /// The same pairs read the other way: the linear map's transpose.
    #[must_use]
    pub fn swapped(&self) -> Self {
        Self {
            in_len: self.out_len,
            out_len: self.in_len,
            in_step: self.out_step,
            out_step: self.in_step,
            runs: self.runs.iter().map(|r| Run { out: r.in_, in_: r.out, len: r.len }).collect(),
            places: None,
        }
    }

    /// The taps of some outputs alone, over an axis that has nothing but `held`, which is what they read, or more. Taps
    /// that the whole has and these outputs have no input for are still taps, of zeros outside.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
    )]
    pub fn part(&self, outs: &Range<usize>, held: &Range<usize>) -> Result<Self> {
        let (mut runs, mut places) = (reserved(self.runs.len())?, reserved(self.runs.len())?);
        runs.extend((0..self.runs.len()).map(|k| match self.clip(k, outs) {
            Run { len: 0, .. } => Run { out: 0, in_: 0, len: 0 },
            r => Run { out: r.out - outs.start, in_: r.in_ - held.start, len: r.len },
        }));
        places.extend((0..self.runs.len()).map(|k| {
            let (residue, shift) = self.place(k)?;
            let (residue, shift) = self.counted(residue as i128 - outs.start as i128, shift)?;
            let shift = shift.saturating_sub(i64::try_from(held.start).unwrap_or(i64::MAX));
            (residue < outs.len()).then_some((residue, shift))
        }));
        Ok(Self { in_len: held.len(), out_len: outs.len(), runs, places: Some(places), ..*self })
    }

    /// The same pairs, with outputs before the first one that have no use: so many. Its taps are where the whole's are, if it
    /// is a [part](Links::part).
    ///
    /// # Errors
    /// If the table cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "a lead below the distance of a few outputs")]
    pub fn led(&self, lead: usize) -> Result<Self> {
        let (mut runs, mut places) = (reserved(self.runs.len())?, reserved(self.runs.len())?);
        runs.extend(self.runs.iter().map(|r| Run { out: r.out + if r.len > 0 { lead } else { 0 }, ..*r }));
        places.extend((0..self.runs.len()).map(|k| {
            let (residue, shift) = self.place(k)?;
            self.counted(residue as i128 + lead as i128, shift)
        }));
        Ok(Self { out_len: self.out_len + lead, runs, places: Some(places), ..*self })
    }

    /// The residue of tap `k`'s outputs, and the input that it joins to the first such output, be there one or not.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
    )]
    fn place(&self, k: usize) -> Option<(usize, i64)> {
        if let Some(places) = &self.places {
            return places[k];
        }
        let r = self.runs.get(k).filter(|r| r.len > 0)?;
        let ahead = (r.out / self.out_step) as i128 * self.in_step as i128;
        // A run's pairs lie within both axes, whose lengths are below 2^63; so does their difference.
        Some((r.out % self.out_step, i64::try_from(r.in_ as i128 - ahead).unwrap_or(i64::MAX)))
    }

    /// The residue, and the input of the first output of that residue, of a tap that joins output `out` to input `in_`.
    #[allow(clippy::arithmetic_side_effects, reason = "lengths and steps below 2^63, in 128 bits")]
    fn counted(&self, out: i128, in_: i64) -> Option<(usize, i64)> {
        let step = self.out_step as i128;
        let shift = i128::from(in_) - out.div_euclid(step) * self.in_step as i128;
        Some((usize::try_from(out.rem_euclid(step)).ok()?, i64::try_from(shift).unwrap_or(i64::MAX)))
    }

    /// The input that tap `k` joins to output `o`, if any.
    #[inline]
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
    )]
    pub fn input_of(&self, k: usize, o: usize) -> Option<usize> {
        let r = self.runs.get(k)?;
        let ahead = o.checked_sub(r.out)?;
        let j = ahead / self.out_step;
        (ahead.is_multiple_of(self.out_step) && j < r.len).then(|| r.in_ + j * self.in_step)
    }

    /// Tap `k`'s pairs whose output lies in `outs`.
    #[inline]
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
    )]
    pub fn clip(&self, k: usize, outs: &Range<usize>) -> Run {
        let r = self.runs[k];
        let before = outs.start.saturating_sub(r.out).div_ceil(self.out_step).min(r.len);
        let until = outs.end.saturating_sub(r.out).div_ceil(self.out_step).min(r.len);
        let len = until.saturating_sub(before);
        Run { out: r.out + before * self.out_step, in_: r.in_ + before * self.in_step, len }
    }

    /// The input range that a range of outputs reads.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
    )]
    pub fn inputs(&self, outs: &Range<usize>) -> Range<usize> {
        let (mut lo, mut hi) = (usize::MAX, 0);
        for r in (0..self.runs.len()).map(|k| self.clip(k, outs)).filter(|r| r.len > 0) {
            lo = lo.min(r.in_);
            hi = hi.max(r.in_ + (r.len - 1) * self.in_step + 1);
        }
        if hi == 0 { 0..0 } else { lo..hi }
    }

    /// The phases that have taps, grouped by what they read.
    ///
    /// # Errors
    /// If the table cannot be allocated.
    pub fn phases(&self) -> Result<Arc<Vec<Phases>>> {
        recent::phases(self, || self.made())
    }

    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
    )]
    pub(super) fn made(&self) -> Result<Vec<Phases>> {
        // Taps by the residue of their outputs: (residue, shift, tap).
        let mut taps: Vec<(usize, i64, usize)> = reserved(self.runs.len())?;
        let places = (0..self.runs.len()).filter_map(|k| self.place(k).map(|(residue, shift)| (residue, shift, k)));
        taps.extend(places);
        taps.sort_unstable();
        let mut found: Vec<Phases> = Vec::new();
        for phase in taps.chunk_by(|a, b| a.0 == b.0) {
            let mut member = Member { residue: phase[0].0, taps: Vec::new() };
            append(&mut member.taps, phase.iter().map(|t| t.2))?;
            let shifts = || phase.iter().map(|t| t.1);
            match found.iter_mut().find(|c| c.shifts.iter().copied().eq(shifts())) {
                Some(class) => append(&mut class.members, [member])?,
                None => {
                    let mut class = Phases { shifts: Vec::new(), members: Vec::new() };
                    append(&mut class.shifts, shifts())?;
                    append(&mut class.members, [member])?;
                    append(&mut found, [class])?;
                }
            }
        }
        Ok(found)
    }

    /// Number of phases: residues of outputs.
    #[must_use]
    pub fn phase_count(&self) -> usize {
        self.out_step.min(self.out_len)
    }
}

/// Phases whose taps read the same inputs: output `out_step*j + residue` reads input `in_step*j + shifts[t]` through
/// its tap `taps[t]`, or nothing where that lies outside the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phases {
    /// Where the taps read, from `in_step*j` on; rising.
    pub shifts: Vec<i64>,
    /// The phases.
    pub members: Vec<Member>,
}

/// One phase: the outputs of one residue modulo `out_step`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The residue.
    pub residue: usize,
    /// The kernel tap of each shift.
    pub taps: Vec<usize>,
}

#[allow(
    clippy::arithmetic_side_effects,
    reason = "lengths and steps below 2^63, in 128 bits; runs lie within both axes"
)]
fn shift(tap: usize, dilation: usize, pad: Pad) -> i128 {
    tap as i128 * dilation as i128 - pad.before as i128
}
