//! Where an output position lies on the input axis.
//!
//! Positions that follow from the two lengths are exact fractions; only a caller's own scale factor goes through
//! double precision. (float32 coordinates pick the wrong neighbour for, e.g., 2 -> 82, and everywhere past 2^23.)

use std::fmt::Display;

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
    /// Left edge maps to left edge: `x = o*in/out`.
    Asymmetric,
    /// As `Asymmetric`, by the caller's factor: `x = o/factor`.
    AsymmetricFactor(f64),
    /// As `Factor`, from the middle of both axes: `x = (in - 1)/2 + (2*o + 1 - out)/(2*factor)`.
    Symmetric(f64),
    /// `x = base + slope*o`; the slope is not negative.
    Affine {
        /// Position of output 0.
        base: f64,
        /// Input elements per output element.
        slope: f64,
    },
}

/// The coordinate rules a caller may name, those of ONNX Resize-19.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coordinates {
    /// Pixels are areas; the outer edges of both axes lie on each other.
    #[default]
    HalfPixel,
    /// As `HalfPixel`, but a factor that does not give a whole length keeps the centres on each other.
    HalfPixelSymmetric,
    /// As `HalfPixel`, but a single output lies on the first input.
    PytorchHalfPixel,
    /// Pixels are points; the first and the last of both axes lie on each other.
    AlignCorners,
    /// The left edges of both axes lie on each other.
    Asymmetric,
    /// First and last output lie at the ends of a region, fractions of the way from the first input to the last.
    TfCropAndResize,
}

/// How a position becomes the index of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NearestRounding {
    /// To the nearest, of two the left.
    RoundPreferFloor,
    /// To the nearest, of two the right.
    #[default]
    RoundPreferCeil,
    /// The one at or left of it.
    Floor,
    /// The one at or right of it.
    Ceil,
}

impl Coordinates {
    /// The rule for an axis, and whether outputs run against the inputs (a region given from its end to its start). A
    /// factor is one the caller gave, in place of output over input length; `region` is for `TfCropAndResize`.
    #[must_use]
    pub fn rule(self, in_len: usize, out_len: usize, factor: Option<f64>, region: (f64, f64)) -> (Rule, bool) {
        // A factor that gives the length exactly says no more than the length.
        let factor = factor.filter(|f| f.mul_add(in_len as f64, -(out_len as f64)) != 0.0);
        let last = in_len.saturating_sub(1) as f64;
        // Output elements from first to last, as ONNX counts them.
        let steps = factor.map_or(out_len as f64, |f| f * in_len as f64) - 1.0;
        let rule = match (self, factor) {
            (Self::PytorchHalfPixel, _) if out_len == 1 => Rule::AlignCorners,
            (Self::HalfPixel | Self::HalfPixelSymmetric | Self::PytorchHalfPixel, None) => Rule::HalfPixel,
            (Self::HalfPixel | Self::PytorchHalfPixel, Some(f)) => Rule::Factor(f),
            (Self::HalfPixelSymmetric, Some(f)) => Rule::Symmetric(f),
            (Self::Asymmetric, None) => Rule::Asymmetric,
            (Self::Asymmetric, Some(f)) => Rule::AsymmetricFactor(f),
            (Self::AlignCorners, None) => Rule::AlignCorners,
            (Self::AlignCorners, Some(_)) if steps > 0.0 => Rule::Affine { base: 0.0, slope: last / steps },
            (Self::AlignCorners, Some(_)) => Rule::Affine { base: 0.0, slope: 0.0 },
            (Self::TfCropAndResize, _) => return crop(region, last, steps, factor.is_none(), out_len),
        };
        (rule, false)
    }
}

/// See [`Coordinates::TfCropAndResize`]; one output lies in the middle of its region.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
)]
fn crop((start, end): (f64, f64), last: f64, steps: f64, whole: bool, out_len: usize) -> (Rule, bool) {
    if steps <= 0.0 {
        return (Rule::Affine { base: (start + end) / 2.0 * last, slope: 0.0 }, false);
    }
    if whole && (start, end) == (0.0, 1.0) {
        return (Rule::AlignCorners, false);
    }
    let (base, slope) = (start * last, (end - start) * last / steps);
    if slope < 0.0 {
        return (Rule::Affine { base: base + slope * (out_len - 1) as f64, slope: -slope }, true);
    }
    (Rule::Affine { base, slope }, false)
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
        // The same in half as many bits where they fit: several times as fast, and most calls are for short axes.
        if let (Ok(num), Ok(den)) = (i64::try_from(num), i64::try_from(den)) {
            return Self { floor: num.div_euclid(den), frac: num.rem_euclid(den) as f64 / den as f64 };
        }
        // (Lengths are below 2^63, and an output of the axis lies at -1 at the least.)
        let floor = i64::try_from(num.div_euclid(den)).unwrap_or(i64::MAX);
        Self { floor, frac: num.rem_euclid(den) as f64 / den as f64 }
    }

    fn double(x: f64) -> Self {
        let floor = x.floor();
        Self { floor: floor as i64, frac: x - floor } // `as` saturates; lengths are below 2^63
    }
}

impl AxisMap {
    /// Whether every output is the input at the same place.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.in_len == self.out_len
            && match self.rule {
                Rule::HalfPixel | Rule::AlignCorners | Rule::Asymmetric => true,
                Rule::Factor(f) => f == 1.0, // a single element lies beside its output too, which reads what is outside
                Rule::AsymmetricFactor(f) | Rule::Symmetric(f) => self.in_len == 1 || f == 1.0,
                Rule::Affine { base, slope } => base == 0.0 && (self.in_len == 1 || slope == 1.0),
            }
    }

    /// Input elements per output element.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    pub fn ratio(&self) -> f64 {
        match self.rule {
            Rule::HalfPixel | Rule::Asymmetric => self.in_len as f64 / self.out_len as f64,
            Rule::AlignCorners if self.out_len == 1 => 0.0,
            Rule::AlignCorners => (self.in_len - 1) as f64 / (self.out_len - 1) as f64,
            Rule::Factor(f) | Rule::AsymmetricFactor(f) | Rule::Symmetric(f) => 1.0 / f,
            Rule::Affine { slope, .. } => slope,
        }
    }

    /// `(a, b, c)` if the position of output `o` is exactly `(a*o + b)/c`, and `a/c` the ratio.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    fn line(&self) -> Option<(i128, i128, i128)> {
        let (len, n) = (self.in_len as i128, self.out_len as i128);
        match self.rule {
            Rule::HalfPixel => Some((2 * len, len - n, 2 * n)),
            Rule::AlignCorners if n == 1 => Some((0, 0, 1)),
            Rule::AlignCorners => Some((len - 1, 0, n - 1)),
            Rule::Asymmetric => Some((2 * len, 0, 2 * n)),
            _ => None,
        }
    }

    /// Position of output `o`, in input elements from the first one's centre.
    #[must_use]
    pub fn position(&self, o: usize) -> Position {
        self.shifted(o, 0.0)
    }

    /// The position plus `shift`, which is 0 or 1/2.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    fn shifted(&self, o: usize, shift: f64) -> Position {
        if let Some((a, b, c)) = self.line() {
            let num = a * o as i128 + b;
            return match shift == 0.0 {
                true => Position::ratio(num, c),
                false if c % 2 == 0 => Position::ratio(num + c / 2, c),
                false => Position::ratio(2 * num + c, 2 * c),
            };
        }
        let x = match self.rule {
            Rule::Factor(f) => (o as f64 + 0.5) / f + (shift - 0.5),
            Rule::AsymmetricFactor(f) => o as f64 / f + shift,
            Rule::Symmetric(f) => {
                let from_middle = 2.0 * o as f64 + 1.0 - self.out_len as f64;
                (self.in_len as f64 - 1.0) / 2.0 + from_middle / (2.0 * f) + shift
            }
            Rule::Affine { base, slope } => base + slope * o as f64 + shift,
            Rule::HalfPixel | Rule::AlignCorners | Rule::Asymmetric => 0.0, // exact: above
        };
        Position::double(x)
    }

    /// Distance of input `i` from the position of output `o`, in output elements: correctly rounded where the rule is
    /// exact, so that what lies on a filter's edge does so exactly. For ratios above 0.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    pub fn distance(&self, o: usize, i: i64) -> f64 {
        match self.line() {
            Some((a, b, c)) => (i128::from(i) * c - a * o as i128 - b) as f64 / a as f64,
            None => self.apart(o, i) / self.ratio(),
        }
    }

    /// Distance in input elements. The position is split, so it keeps its precision far along the axis.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    fn apart(&self, o: usize, i: i64) -> f64 {
        let p = self.position(o);
        (i128::from(i) - i128::from(p.floor)) as f64 - p.frac
    }

    /// Height at input `i` of a triangle of height 1 over output `o`, which reaches one output's width to either side.
    /// Correctly rounded where the rule is exact, so that a foot is exactly zero.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    pub fn triangle(&self, o: usize, i: i64) -> f64 {
        match self.line() {
            Some((a, b, c)) => {
                let distance = i128::from(i) * c - a * o as i128 - b;
                (a - distance.abs()).max(0) as f64 / a as f64
            }
            None => (1.0 - self.apart(o, i).abs() / self.ratio()).max(0.0),
        }
    }

    /// Share of input `i` in output `o` where both are boxes as long as they are apart from their neighbours: the length
    /// they have in common, in outputs. For ratios above 0.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    pub fn overlap(&self, o: usize, i: i64) -> f64 {
        match self.line() {
            Some((a, b, c)) => {
                let distance = 2 * (i128::from(i) * c - a * o as i128 - b).abs();
                (a + c - distance).clamp(0, 2 * a.min(c)) as f64 / (2 * a) as f64
            }
            None => {
                let ratio = self.ratio();
                let common = (ratio + 1.0) / 2.0 - self.apart(o, i).abs();
                // (What is left of a sum of this many digits is no overlap.)
                if common < 1e-12 * ratio { 0.0 } else { common.min(ratio.min(1.0)) / ratio }
            }
        }
    }

    /// Index of the input nearest to output `o`; it may lie outside the axis.
    #[must_use]
    pub fn index(&self, o: usize, rounding: NearestRounding) -> i64 {
        let up = |p: Position| p.floor.saturating_add(i64::from(p.frac > 0.0));
        match rounding {
            NearestRounding::Floor => self.position(o).floor,
            NearestRounding::Ceil => up(self.position(o)),
            NearestRounding::RoundPreferCeil => self.shifted(o, 0.5).floor,
            NearestRounding::RoundPreferFloor => up(self.shifted(o, 0.5)).saturating_sub(1),
        }
    }

    /// Smallest `(outputs, inputs)` after which the taps may repeat, shifted.
    #[must_use]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "lengths below 2^63, and at most 2^29 outputs, in 128 bits; the rest is in floats"
    )]
    pub fn period(&self) -> (usize, usize) {
        let reduced = |a: usize, b: usize| match super::gcd(a, b) {
            0 => (0, 0),
            g => (a / g, b / g),
        };
        match self.rule {
            Rule::HalfPixel | Rule::Asymmetric => reduced(self.out_len, self.in_len),
            Rule::AlignCorners => reduced(self.out_len - 1, self.in_len - 1),
            Rule::Factor(f) if f >= 1.0 && f.fract() == 0.0 => (f as usize, 1),
            Rule::Factor(f) if f > 0.0 && (1.0 / f).fract() == 0.0 => (1, (1.0 / f) as usize),
            _ => (0, 0),
        }
    }
}

/// Output elements for a scale factor: `floor(in_len * factor)`.
///
/// # Errors
/// If the factor is not a finite number above 0, or the result is below 1 or beyond 63 bits.
pub fn scaled_len(in_len: usize, factor: f64, axis: AxisName) -> Result<usize> {
    let what = format_args!("scale_factor[{}] = {factor}", axis.index);
    factor_len(in_len, factor, &what, &format_args!("axis {}", axis.letter()))
}

/// As [`scaled_len`], with the words to name the factor and the axis by.
pub(crate) fn factor_len(in_len: usize, factor: f64, what: &dyn Display, axis: &dyn Display) -> Result<usize> {
    if !(factor.is_finite() && factor > 0.0) {
        return Err(Error::value(format!("{what}: must be a finite number above 0")));
    }
    let len = (in_len as f64 * factor).floor();
    if len < 1.0 {
        return Err(Error::value(format!(
            "{what}: leaves {axis} ({in_len} elements) with none, must leave at least 1"
        )));
    }
    if len >= 9.2e18 {
        return Err(Error::value(format!("{what}: makes {axis} longer than 2**63 elements")));
    }
    Ok(len as usize)
}
