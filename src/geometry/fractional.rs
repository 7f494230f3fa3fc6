//! Windows of fractional max pooling along one axis: of one length, a fractional step apart, placed by one random number.
//!
//! Graham, "Fractional max-pooling" (2014), in the form torch gave it. A window's start is computed when it is asked for:
//! no plane needs a table, however long its axes.

use super::window::AxisName;
use crate::error::{Error, Result};

/// The output length a user asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shrunk {
    /// So many windows.
    To(usize),
    /// `floor(len * ratio)` windows.
    By(f64),
}

/// Windows of one axis, all but for their random number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intervals {
    /// Elements along the input axis.
    pub in_len: usize,
    /// Number of windows.
    pub out_len: usize,
    /// Elements per window.
    pub kernel: usize,
    /// Average distance between windows.
    step: f64,
}

/// Windows of one axis, placed.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    step: f64,
    sample: f64,
    /// What the first window is moved by, so that it starts at 0.
    shift: usize,
    /// Windows before the last one.
    before_last: usize,
    /// Start of the last window.
    last: usize,
}

impl Intervals {
    /// The one window of an axis of one element.
    pub const UNIT: Self = Self { in_len: 1, out_len: 1, kernel: 1, step: 0.0 };

    /// Checks windows of `kernel` elements along an axis of `in_len`.
    ///
    /// # Errors
    /// If a length is zero, the ratio is not between 0 and 1, or the windows could not all start at a place of their own.
    pub fn new(in_len: usize, kernel: usize, out: Shrunk, axis: AxisName) -> Result<Self> {
        let i = axis.index;
        if in_len == 0 {
            return Err(Error::value(format!("axis {} = 0 elements: must be at least 1", axis.letter())));
        }
        if kernel == 0 {
            return Err(Error::value(format!("kernel_size[{i}] = 0: must be at least 1")));
        }
        let Some(last) = in_len.checked_sub(kernel) else {
            return Err(Error::value(format!(
                "kernel_size[{i}] = {kernel} exceeds axis {}: {in_len} elements",
                axis.letter()
            )));
        };
        let out_len = match out {
            Shrunk::To(n) => n,
            Shrunk::By(ratio) if ratio > 0.0 && ratio < 1.0 => (in_len as f64 * ratio) as usize,
            Shrunk::By(ratio) => {
                return Err(Error::value(format!("output_ratio[{i}] = {ratio}: must be above 0 and below 1")));
            }
        };
        if out_len.checked_sub(1).is_none_or(|steps| steps > last) {
            let given = match out {
                Shrunk::To(n) => format!("output_size[{i}] = {n}:"),
                Shrunk::By(ratio) => format!("output_ratio[{i}] = {ratio}: gives {out_len} windows,"),
            };
            return Err(Error::value(format!(
                "{given} must be from 1 to {}, for kernel_size[{i}] = {kernel} and axis {} of {in_len} elements",
                last.saturating_add(1),
                axis.letter()
            )));
        }
        let step = if out_len > 1 { last as f64 / out_len.saturating_sub(1) as f64 } else { 0.0 };
        Ok(Self { in_len, out_len, kernel, step })
    }

    /// The windows for this random number, from 0 to below 1; every start lies within the axis whatever it is.
    #[inline]
    #[must_use]
    pub fn placed(&self, sample: f64) -> Placed {
        let shift = (sample * self.step) as usize;
        Placed {
            step: self.step,
            sample,
            shift,
            before_last: self.out_len.saturating_sub(1),
            last: self.in_len.saturating_sub(self.kernel),
        }
    }

    /// Most elements between the starts of one window and the next.
    #[must_use]
    pub fn longest_step(&self) -> usize {
        (self.step as usize).saturating_add(2)
    }
}

impl Placed {
    /// Start of window `o`: `floor((o + sample)*step) - floor(sample*step)`; the last window ends with the axis.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, o: usize) -> usize {
        if o >= self.before_last {
            return self.last;
        }
        let start = ((o as f64 + self.sample) * self.step) as usize;
        start.saturating_sub(self.shift).min(self.last)
    }
}

/// The `i`-th number of the stream of a seed, from 0 to below 1 (SplitMix64; Steele, Lea and Flood 2014). Any number of the
/// stream can be had without those before it, so it does not matter who asks, or in which order.
#[must_use]
pub fn random(seed: u64, i: u64) -> f64 {
    let mut z = seed.wrapping_add(i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: AxisName = AxisName { index: 0, rank: 2 };

    #[test]
    fn windows_lie_within_the_axis_whatever_the_number() -> Result<()> {
        let nearly_one = 1.0 - f64::EPSILON / 2.0;
        for (in_len, kernel, out_len) in [(1, 1, 1), (9, 2, 5), (100, 3, 98), (101, 3, 60), (usize::MAX >> 1, 7, 1000)]
        {
            let intervals = Intervals::new(in_len, kernel, Shrunk::To(out_len), H)?;
            for sample in [0.0, 0.3, nearly_one, -1.0, 7.5, 1e300, f64::NAN, f64::INFINITY] {
                let placed = intervals.placed(sample);
                let starts: Vec<_> = (0..out_len).map(|o| placed.at(o)).collect();
                assert!(starts.is_sorted() || !(0.0..1.0).contains(&sample), "{in_len} {out_len} {sample}");
                assert!(starts.iter().all(|s| s + kernel <= in_len), "{in_len} {out_len} {sample}");
                assert_eq!(starts[out_len - 1], in_len - kernel);
            }
        }
        Ok(())
    }

    #[test]
    fn steps_are_no_longer_than_said() -> Result<()> {
        for (in_len, kernel, out_len) in [(40, 1, 7), (40, 4, 36), (41, 3, 20), (1000, 5, 333)] {
            let intervals = Intervals::new(in_len, kernel, Shrunk::To(out_len), H)?;
            for i in 0..1000 {
                let placed = intervals.placed(random(i, 0));
                let steps = (1..out_len).map(|o| placed.at(o) - placed.at(o - 1));
                assert!(steps.max() <= Some(intervals.longest_step()));
            }
        }
        Ok(())
    }
}
