//! Filters: how much an input counts, by its distance from an output's position.
//!
//! Distances are in input elements, or in output elements where an antialiased filter is widened by the ratio of
//! shrinking. Every filter is exactly zero outside its support, and at the whole distances where its formula is zero.

use std::f64::consts::PI;

/// A filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// `1 - |x|` within 1: linear interpolation; Pillow's BILINEAR, OpenCV's LINEAR.
    Linear,
    /// Keys' cubic convolution (1981) with this `a`, within 2.
    Cubic(f64),
    /// `sinc(x)*sinc(x/n)` within `n`, from 2 to 5 (Duchon 1979); Pillow's LANCZOS is `n = 3`.
    Lanczos(u8),
    /// `exp(-x^2/(2*sigma^2))` with `sigma = 1/2`, cut at 3, where 1.5e-8 is left of it.
    Gaussian,
    /// Mitchell and Netravali's cubic (1988) with `B = C = 1/3`, within 2.
    Mitchell,
    /// 1 within half an element, the upper end included; Pillow's BOX.
    Box,
    /// `sinc(x)` times a Hamming window, within 1; Pillow's HAMMING.
    Hamming,
}

impl Filter {
    /// Distance from which on the filter is zero.
    #[must_use]
    pub fn support(self) -> f64 {
        match self {
            Self::Linear | Self::Hamming => 1.0,
            Self::Cubic(_) | Self::Mitchell => 2.0,
            Self::Lanczos(n) => f64::from(n),
            Self::Gaussian => 3.0,
            Self::Box => 0.5,
        }
    }

    /// Whether it is 1 at 0 and 0 at all other whole distances, so that a position on an input gives that input.
    #[must_use]
    pub fn interpolates(self) -> bool {
        !matches!(self, Self::Gaussian | Self::Mitchell)
    }

    /// Whether its values at distances one apart add up to 1 whatever the first.
    #[must_use]
    pub fn sums_to_one(self) -> bool {
        matches!(self, Self::Linear | Self::Cubic(_) | Self::Mitchell)
    }

    /// Its value at distance `x`, of either sign.
    #[must_use]
    pub fn at(self, x: f64) -> f64 {
        let r = x.abs();
        match self {
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            _ if r >= self.support() => 0.0,
            Self::Linear => 1.0 - r,
            Self::Cubic(a) => cubic(r, [2.0 + a, -(3.0 + a), 0.0, 1.0], [a, -5.0 * a, 8.0 * a, -4.0 * a]),
            Self::Mitchell => {
                // (12 - 9B - 6C)/6 and so on, at B = C = 1/3.
                let inner = [7.0 / 6.0, -2.0, 0.0, 8.0 / 9.0];
                cubic(r, inner, [-7.0 / 18.0, 2.0, -10.0 / 3.0, 16.0 / 9.0])
            }
            Self::Lanczos(n) => sinc(r) * sinc(r / f64::from(n)),
            Self::Gaussian => (-2.0 * r * r).exp(),
            Self::Hamming => sinc(r) * (0.54 + 0.46 * (PI * r).cos()),
        }
    }
}

/// One polynomial within 1, another from there on; coefficients from the cube down.
fn cubic(r: f64, inner: [f64; 4], outer: [f64; 4]) -> f64 {
    let [a, b, c, d] = if r <= 1.0 { inner } else { outer };
    ((a * r + b) * r + c) * r + d
}

/// `sin(pi*x)/(pi*x)` for `x >= 0`; exactly 0 at whole numbers but 0.
fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    // The sine of what is left of the nearest whole number, which is exact.
    let whole = x.round();
    let sine = (PI * (x - whole)).sin();
    let sign = if whole % 2.0 == 0.0 { 1.0 } else { -1.0 };
    sign * sine / (PI * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Filter; 11] = [
        Filter::Linear,
        Filter::Cubic(-0.5),
        Filter::Cubic(-0.75),
        Filter::Lanczos(2),
        Filter::Lanczos(3),
        Filter::Lanczos(4),
        Filter::Lanczos(5),
        Filter::Gaussian,
        Filter::Mitchell,
        Filter::Box,
        Filter::Hamming,
    ];

    #[test]
    fn zero_outside_and_at_whole_distances() {
        for f in ALL {
            assert_eq!(f.at(f.support() + 1e-9), 0.0, "{f:?}");
            assert_eq!(f.at(-f.support() - 1e-9), 0.0, "{f:?}");
            for k in 1..7 {
                assert!(!f.interpolates() || (f.at(f64::from(k)) == 0.0 && f.at(-f64::from(k)) == 0.0), "{f:?} {k}");
            }
            assert!(!f.interpolates() || f.at(0.0) == 1.0, "{f:?}");
        }
    }

    #[test]
    fn even_and_continuous() {
        for f in ALL.into_iter().filter(|f| *f != Filter::Box) {
            for i in 0..6000 {
                let x = f64::from(i) / 1000.0;
                assert_eq!(f.at(x), f.at(-x), "{f:?} {x}");
                assert!((f.at(x) - f.at(x + 1e-9)).abs() < 1e-6 || f == Filter::Hamming && x >= 0.99, "{f:?} {x}");
            }
        }
    }

    #[test]
    fn parts_of_one() {
        for f in ALL.into_iter().filter(|f| f.sums_to_one()) {
            for i in 0..100 {
                let x = f64::from(i) / 100.0;
                let sum: f64 = (-3..4).map(|k| f.at(f64::from(k) + x)).sum();
                assert!((sum - 1.0).abs() < 1e-14, "{f:?} {x}: {sum}");
            }
        }
    }
}
