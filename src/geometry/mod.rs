//! Arithmetic on one axis: windows, source coordinates, taps, phases. No arrays and no element types.
//!
//! Everything an operation knows about an axis is data made here, and each kind of data answers the same question:
//! *for this output range, which input range*. Parallel splitting and tiling rest on that question alone.
#![forbid(unsafe_code)]
// Lengths, strides and positions come from callers: what is made of them must not wrap. A function that may do plain
// arithmetic says why; the tests run with overflow checks.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod bins;
pub mod coords;
pub mod filter;
pub mod fractional;
pub mod grid;
pub mod phase;
pub mod readers;
mod recent;
pub mod roi;
pub mod sampler;
pub mod taps;
pub mod window;
pub mod winograd;

/// Input positions `start, start + step, ...` (`count` of them) that one output position reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// First input position.
    pub start: usize,
    /// Number of positions; may be zero.
    pub count: usize,
    /// Distance between positions, at least 1.
    pub step: usize,
}

impl Reach {
    /// Neighbouring positions.
    #[inline(always)]
    #[must_use]
    pub fn of(positions: &std::ops::Range<usize>) -> Self {
        Self { start: positions.start, count: positions.len(), step: 1 }
    }

    /// One past the last position read; `start` when nothing is read.
    #[must_use]
    pub fn end(self) -> usize {
        match self.count {
            0 => self.start,
            n => self.start.saturating_add(n.saturating_sub(1).saturating_mul(self.step)).saturating_add(1),
        }
    }
}

/// Greatest common divisor; `gcd(0, n) = n`.
#[must_use]
#[allow(clippy::arithmetic_side_effects, reason = "a remainder by a number that is not zero")]
pub fn gcd(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
