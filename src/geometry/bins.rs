//! The windows of one axis: sliding ones of one length, or a list of any.
//!
//! Adaptive pooling is pooling with listed windows; where the axis divides evenly they slide, and take the fast paths
//! of sliding windows.

use std::ops::Range;

use super::Reach;
use super::taps::reserved;
use super::window::{AxisName, Windows};
use crate::error::{Error, Result};

/// All windows along one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bins {
    /// Of one length, equally far apart.
    Sliding(Windows),
    /// Each given; none is empty, starts and ends never decrease.
    Listed {
        /// Elements along the input axis.
        in_len: usize,
        /// The windows, in order.
        windows: Vec<Reach>,
    },
}

impl Bins {
    /// The windows of adaptive pooling: window `i` of `out_len` is `floor(i*in/out) .. ceil((i+1)*in/out)`.
    ///
    /// # Errors
    /// If a length is zero, or the list cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "positions on an axis below 2^63, in 128 bits")]
    pub fn adaptive(in_len: usize, out_len: usize, axis: AxisName) -> Result<Self> {
        Self::check_adaptive(in_len, out_len, axis)?;
        if in_len.is_multiple_of(out_len) {
            let k = in_len / out_len;
            return Ok(Self::Sliding(Windows::plain(in_len, out_len, k, k)));
        }
        let mut windows = reserved(out_len)?;
        let edge = |i: usize| i as u128 * in_len as u128;
        for i in 0..out_len {
            let start = (edge(i) / out_len as u128) as usize; // below in_len
            let end = edge(i + 1).div_ceil(out_len as u128) as usize; // at most in_len
            windows.push(Reach { start, count: end - start, step: 1 });
        }
        Ok(Self::Listed { in_len, windows })
    }

    /// Checks the lengths of [`Bins::adaptive`].
    ///
    /// # Errors
    /// If one is zero.
    pub fn check_adaptive(in_len: usize, out_len: usize, axis: AxisName) -> Result<()> {
        if in_len == 0 {
            return Err(Error::value(format!("axis {} = 0 elements: must be at least 1", axis.letter())));
        }
        if out_len == 0 {
            return Err(Error::value(format!("output_size[{}] = 0: must be at least 1", axis.index)));
        }
        Ok(())
    }

    /// A single window, of a first element.
    ///
    /// # Errors
    /// If the list cannot be allocated.
    pub fn only() -> Result<Self> {
        let mut windows = reserved(1)?;
        windows.push(Reach { start: 0, count: 1, step: 1 });
        Ok(Self::Listed { windows, in_len: 1 })
    }

    /// Elements along the input axis.
    #[must_use]
    pub fn in_len(&self) -> usize {
        match self {
            Self::Sliding(w) => w.in_len,
            Self::Listed { in_len, .. } => *in_len,
        }
    }

    /// Number of windows.
    #[inline(always)]
    #[must_use]
    pub fn out_len(&self) -> usize {
        match self {
            Self::Sliding(w) => w.out_len,
            Self::Listed { windows, .. } => windows.len(),
        }
    }

    /// Input elements of window `o`.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, o: usize) -> Reach {
        match self {
            Self::Sliding(w) => w.at(o),
            Self::Listed { windows, .. } => windows[o],
        }
    }

    /// Most elements of a window.
    #[must_use]
    pub fn longest(&self) -> usize {
        match self {
            Self::Sliding(w) => w.kernel.min(w.in_len),
            Self::Listed { windows, .. } => windows.iter().map(|r| r.count).max().unwrap_or(0),
        }
    }

    /// Elements of window `o`, those that are padding included, but not what lies beyond the padding.
    #[must_use]
    pub fn with_padding(&self, o: usize) -> usize {
        match self {
            Self::Sliding(w) => {
                let padded = w.in_len.saturating_add(w.pad.before).saturating_add(w.pad.after);
                w.kernel.min(padded.saturating_sub(o.saturating_mul(w.stride)).div_ceil(w.dilation))
            }
            Self::Listed { windows, .. } => windows[o].count,
        }
    }

    /// The input range that a range of windows reads.
    #[must_use]
    pub fn inputs(&self, out: Range<usize>) -> Range<usize> {
        match self {
            Self::Sliding(w) => w.inputs(out),
            Self::Listed { windows, .. } => match &windows[out] {
                [] => 0..0,
                [only] => only.start..only.end(),
                [first, .., last] => first.start..last.end(),
            },
        }
    }

    /// Some of the windows alone, over an axis that has nothing but [what they read](Bins::inputs).
    ///
    /// # Errors
    /// If the list cannot be allocated.
    #[allow(clippy::arithmetic_side_effects, reason = "windows begin within what they read")]
    pub fn part(&self, outs: &Range<usize>) -> Result<Self> {
        match self {
            Self::Sliding(w) => Ok(Self::Sliding(w.part(outs))),
            Self::Listed { windows, .. } => {
                let held = self.inputs(outs.clone());
                let mut some = reserved(outs.len())?;
                some.extend(windows[outs.clone()].iter().map(|r| Reach { start: r.start - held.start, ..*r }));
                Ok(Self::Listed { in_len: held.len(), windows: some })
            }
        }
    }

    /// Whether every window is the one element at its place.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self, Self::Sliding(w) if w.kernel == 1 && w.stride == 1 && w.in_len == w.out_len && w.pad.before == 0)
    }
}
