//! Where an output position lies on the input axis.
//!
//! Positions that follow from the two lengths are exact fractions; only a caller's own scale factor goes through
//! double precision. (float32 coordinates pick the wrong neighbour for, e.g., 2 -> 82, and everywhere past 2^23.)

use crate::error::{Error, Result};
use crate::geometry::window::AxisName;

/// How output positions map to input positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Pixels are areas: centre maps to centre, `x = (o + 0.5)*in/out - 0.5`.
    HalfPixel,
    /// Pixels are points: first and last map to first and last, `x = o*(in - 1)/(out - 1)`, 0 for one output.
    AlignCorners,
    /// As `HalfPixel`, with the caller's factor in place of `out/in`: `x = (o + 0.5)/factor - 0.5`.
    Factor(f64),
}

/// One axis to be resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxisMap {
    /// Input elements, at least 1.
    pub in_len: usize,
    /// Output elements, at least 1.
    pub out_len: usize,
    /// Coordinate rule.
    pub rule: Rule,
}

/// A position `floor + frac` with `0 <= frac < 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Whole part; may be negative.
    pub floor: i64,
    /// Fraction, correctly rounded from the exact one where the rule is exact.
    pub frac: f64,
}

impl Position {
    fn ratio(num: i128, den: i128) -> Self {
        let floor = num.div_euclid(den);
        Self { floor: clamp_i64(floor), frac: num.rem_euclid(den) as f64 / den as f64 }
    }

    fn double(x: f64) -> Self {
        let floor = x.floor();
        Self { floor: floor as i64, frac: x - floor } // `as` saturates; lengths are below 2^63
    }
}

fn clamp_i64(v: i128) -> i64 {
    i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX })
}

impl AxisMap {
    /// Whether every output is the input at the same place.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.in_len == self.out_len && (self.in_len == 1 || !matches!(self.rule, Rule::Factor(f) if f != 1.0))
    }

    /// Input elements per output element.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        match self.rule {
            Rule::HalfPixel => self.in_len as f64 / self.out_len as f64,
            Rule::AlignCorners if self.out_len == 1 => 0.0,
            Rule::AlignCorners => (self.in_len - 1) as f64 / (self.out_len - 1) as f64,
            Rule::Factor(f) => 1.0 / f,
        }
    }

    /// Position of output `o`, in input elements from the first one's centre.
    #[must_use]
    pub fn position(&self, o: usize) -> Position {
        let (i, n, o_wide) = (self.in_len as i128, self.out_len as i128, o as i128);
        match self.rule {
            Rule::HalfPixel => Position::ratio((2 * o_wide + 1) * i - n, 2 * n),
            Rule::AlignCorners if self.out_len == 1 => Position { floor: 0, frac: 0.0 },
            Rule::AlignCorners => Position::ratio(o_wide * (i - 1), n - 1),
            Rule::Factor(f) => Position::double((o as f64 + 0.5) / f - 0.5),
        }
    }

    /// Height at input `i` of a triangle of height 1 over output `o`, which reaches one output's width to either side.
    /// Correctly rounded where the rule is exact, so that a foot is exactly zero.
    #[must_use]
    pub fn triangle(&self, o: usize, i: usize) -> f64 {
        let (len, n, o, i) = (self.in_len as i128, self.out_len as i128, o as i128, i as i128);
        let (width, distance) = match self.rule {
            Rule::HalfPixel => (2 * len, 2 * n * i + n - (2 * o + 1) * len),
            Rule::AlignCorners => (len - 1, i * (n - 1) - o * (len - 1)),
            Rule::Factor(f) => {
                // The position is split, so the distance keeps its precision far along the axis.
                let p = self.position(usize::try_from(o).unwrap_or(0));
                let distance = (i - i128::from(p.floor)) as f64 - p.frac;
                return (1.0 - distance.abs() * f).max(0.0);
            }
        };
        (width - distance.abs()).max(0) as f64 / width as f64
    }

    /// Nearest input of output `o` by the left-edge rule, `floor(o*in/out)`.
    #[must_use]
    pub fn nearest(&self, o: usize) -> usize {
        let index = match self.rule {
            Rule::Factor(f) => (o as f64 / f) as usize,
            _ => self.exact_index(2 * o as u128),
        };
        index.min(self.in_len - 1)
    }

    /// Nearest input of output `o` by the centre rule, `floor((o + 0.5)*in/out)`.
    #[must_use]
    pub fn nearest_exact(&self, o: usize) -> usize {
        let index = match self.rule {
            Rule::Factor(f) => ((o as f64 + 0.5) / f) as usize,
            _ => self.exact_index(2 * o as u128 + 1),
        };
        index.min(self.in_len - 1)
    }

    /// `floor(half_steps/2 * in/out)`.
    fn exact_index(&self, half_steps: u128) -> usize {
        usize::try_from(half_steps * self.in_len as u128 / (2 * self.out_len as u128)).unwrap_or(usize::MAX)
    }

    /// Smallest `(outputs, inputs)` after which the taps may repeat, shifted.
    #[must_use]
    pub fn period(&self) -> (usize, usize) {
        let reduced = |a: usize, b: usize| match super::gcd(a, b) {
            0 => (0, 0),
            g => (a / g, b / g),
        };
        match self.rule {
            Rule::HalfPixel => reduced(self.out_len, self.in_len),
            Rule::AlignCorners => reduced(self.out_len - 1, self.in_len - 1),
            Rule::Factor(f) if f >= 1.0 && f.fract() == 0.0 => (f as usize, 1),
            Rule::Factor(f) if f > 0.0 && (1.0 / f).fract() == 0.0 => (1, (1.0 / f) as usize),
            Rule::Factor(_) => (0, 0),
        }
    }
}

/// Output elements for a scale factor: `floor(in_len * factor)`.
///
/// # Errors
/// If the factor is not a finite number above 0, or the result is below 1 or beyond 63 bits.
pub fn scaled_len(in_len: usize, factor: f64, axis: AxisName) -> Result<usize> {
    let i = axis.index;
    if !(factor.is_finite() && factor > 0.0) {
        return Err(Error::value(format!("scale_factor[{i}] = {factor}: must be a finite number above 0")));
    }
    let len = (in_len as f64 * factor).floor();
    if len < 1.0 {
        return Err(Error::value(format!(
            "scale_factor[{i}] = {factor}: leaves axis {} ({in_len} elements) with none, must leave at least 1",
            axis.letter()
        )));
    }
    if len >= 9.2e18 {
        return Err(Error::value(format!(
            "scale_factor[{i}] = {factor}: makes axis {} longer than 2**63 elements",
            axis.letter()
        )));
    }
    Ok(len as usize)
}
