//! Sampling at a point: what one coordinate reads along one axis.
//!
//! A coordinate of -1 is the axis' start and of 1 its end. From it comes a place in elements, from that the elements
//! around it and their weights. All is double and free of branches, so that runs of points go through vectors; what a
//! point reads in two or three dimensions is the product of what its coordinates read.

/// How elements around a place become a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// The nearest element; of two as near, the even one.
    Nearest,
    /// Between the two elements around the place.
    #[default]
    Linear,
    /// Keys' cubic through the four elements around the place, with `a = -0.75`.
    Cubic,
}

impl Filter {
    /// Elements it reads along an axis.
    #[must_use]
    pub fn taps(self) -> usize {
        match self {
            Self::Nearest => 1,
            Self::Linear => 2,
            Self::Cubic => 4,
        }
    }
}

/// What a place outside the array reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outside {
    /// Zeros.
    #[default]
    Zeros,
    /// The nearest element of the edge.
    Border,
    /// The array mirrored at its edges, over and over.
    Reflection,
}

/// Elements from the array from which on a place counts as infinitely far: up to here a double tells a quarter of an
/// element from the next. No axis may be longer.
pub const FARTHEST: f64 = 1_125_899_906_842_624.0;

/// Parameter of the cubic.
const A: f64 = -0.75;

/// A place whose neighbours are outside the array, all four of them.
const NOWHERE: f64 = -8.0;

/// One element a coordinate reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// Which element, a whole number below the length of the axis: see [`whole`].
    pub at: f64,
    /// Its weight; zero, if the element lies outside.
    pub weight: f64,
    /// The weight's derivative by the coordinate; zero, if the element lies outside.
    pub slope: f64,
}

/// The rule of one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// The last element.
    last: f64,
    /// Elements for a unit of the coordinate.
    scale: f64,
    /// Place of coordinate -1, and where the array is mirrored.
    start: f64,
    /// Elements after which the mirrored array repeats.
    period: f64,
}

impl Axis {
    /// An axis of `len` elements, at least 1 and at most [`FARTHEST`]. Coordinates -1 and 1 are the centres of its first
    /// and last element if `align_corners`, else their outer edges.
    #[must_use]
    pub fn new(len: usize, align_corners: bool) -> Self {
        let len = len as f64;
        let (start, span) = if align_corners { (0.0, len - 1.0) } else { (-0.5, len) };
        Self { last: len - 1.0, scale: span / 2.0, start, period: (2.0 * span).max(1.0) }
    }

    /// The place of a coordinate, in elements, and its derivative. With a cubic, neighbours are put in the array one by
    /// one and the place stays where it is; else it is put there itself.
    #[inline(always)]
    #[must_use]
    pub fn place(&self, coordinate: f64, filter: Filter, outside: Outside) -> (f64, f64) {
        let free = (coordinate + 1.0) * self.scale + self.start;
        let (place, slope) = match (filter, outside) {
            (Filter::Cubic, _) | (_, Outside::Zeros) => (free, self.scale),
            (_, Outside::Border) => self.clamped(free, self.scale),
            (_, Outside::Reflection) => {
                let phase = self.phase(free - self.start);
                let falling = phase + phase >= self.period;
                let phase = if falling { self.period - phase } else { phase };
                self.clamped(phase + self.start, if falling { -self.scale } else { self.scale })
            }
        };
        // (NaN is not within any bound.)
        let near = free.abs() <= FARTHEST;
        let far = match outside {
            Outside::Zeros => NOWHERE,
            Outside::Border if free > 0.0 => self.last,
            Outside::Border | Outside::Reflection => 0.0,
        };
        (if near { place } else { far }, if near { slope } else { 0.0 })
    }

    /// A place within the array; from its first and last element on, moving the coordinate moves nothing.
    #[inline(always)]
    fn clamped(&self, place: f64, slope: f64) -> (f64, f64) {
        let inside = (place > 0.0) & (place < self.last);
        let low = if place > 0.0 { place } else { 0.0 };
        (if low < self.last { low } else { self.last }, if inside { slope } else { 0.0 })
    }

    /// `v` modulo the period: exact for whole numbers; of others, where the quotient is rounded up, it may lie a hair below
    /// 0, which is clamped away.
    #[inline(always)]
    fn phase(&self, v: f64) -> f64 {
        v - (v / self.period).floor() * self.period
    }

    /// Tap `j` of `filter` at a place and derivative that [`Axis::place`] gave.
    #[inline(always)]
    #[must_use]
    pub fn tap(&self, j: usize, place: f64, slope: f64, filter: Filter, outside: Outside) -> Tap {
        match filter {
            Filter::Nearest => self.checked(place.round_ties_even(), 1.0, 0.0),
            Filter::Linear => {
                let low = place.floor();
                let t = place - low;
                if j == 0 { self.checked(low, 1.0 - t, -slope) } else { self.checked(low + 1.0, t, slope) }
            }
            Filter::Cubic => {
                let low = place.floor();
                let (weight, rise) = cubic(j, place - low);
                let step = j as f64 - 1.0;
                let at = match outside {
                    Outside::Zeros => low + step,
                    Outside::Border => self.clamped(low + step, 0.0).0,
                    Outside::Reflection => self.mirrored(low, step),
                };
                self.checked(at, weight, rise * slope)
            }
        }
    }

    /// An element that may lie outside.
    #[inline(always)]
    fn checked(&self, at: f64, weight: f64, slope: f64) -> Tap {
        let inside = (at >= 0.0) & (at <= self.last);
        Tap {
            at: if inside { at } else { 0.0 },
            weight: if inside { weight } else { 0.0 },
            slope: if inside { slope } else { 0.0 },
        }
    }

    /// The element that is `step` after element `low` in the mirrored array; `step` is from -1 to 2.
    #[inline(always)]
    fn mirrored(&self, low: f64, step: f64) -> f64 {
        let n = self.phase(low) + step;
        let n = if n < 0.0 { n + self.period } else { n };
        let n = if n >= self.period { n - self.period } else { n };
        // Mirrored at the centre of the edge's element it is met once, at the outer edge twice.
        let back = self.period + 2.0 * self.start - n;
        if n > self.last { back } else { n }
    }
}

/// Weight of tap `j` of the cubic at `t` past the second of its elements, and its derivative.
#[inline(always)]
fn cubic(j: usize, t: f64) -> (f64, f64) {
    match j {
        0 => cubic_far(1.0 + t, 1.0),
        1 => cubic_near(t, 1.0),
        2 => cubic_near(1.0 - t, -1.0),
        _ => cubic_far(2.0 - t, -1.0),
    }
}

/// The cubic at a distance of at most 1, and `sign` times its derivative.
#[inline(always)]
fn cubic_near(x: f64, sign: f64) -> (f64, f64) {
    let weight = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    (weight, sign * ((3.0 * (A + 2.0) * x - 2.0 * (A + 3.0)) * x))
}

/// The same at a distance from 1 to 2.
#[inline(always)]
fn cubic_far(x: f64, sign: f64) -> (f64, f64) {
    let weight = ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    (weight, sign * ((3.0 * A * x - 10.0 * A) * x + 8.0 * A))
}

/// A whole number from 0 to 2^51, which are the last bits of its sum with 2^52.
#[inline(always)]
#[must_use]
pub fn whole(v: f64) -> usize {
    const SHIFT: f64 = 4_503_599_627_370_496.0;
    ((v + SHIFT).to_bits() & ((1 << 52) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDES: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::Reflection];
    const FILTERS: [Filter; 3] = [Filter::Nearest, Filter::Linear, Filter::Cubic];

    fn taps(len: usize, align: bool, filter: Filter, outside: Outside, coordinate: f64) -> Vec<Tap> {
        let axis = Axis::new(len, align);
        let (place, slope) = axis.place(coordinate, filter, outside);
        (0..filter.taps()).map(|j| axis.tap(j, place, slope, filter, outside)).collect()
    }

    #[test]
    fn whole_numbers_are_kept() {
        for n in [0, 1, 2, 1000, (1 << 50) - 1, 1 << 50, (1 << 51) - 1] {
            assert_eq!(whole(n as f64), n);
        }
    }

    #[test]
    fn ends_of_the_axis() {
        let at = |align, c| Axis::new(5, align).place(c, Filter::Linear, Outside::Zeros).0;
        assert_eq!([-1.0, 0.0, 1.0].map(|c| at(true, c)), [0.0, 2.0, 4.0]);
        assert_eq!([-1.0, 0.0, 1.0].map(|c| at(false, c)), [-0.5, 2.0, 4.5]);
    }

    #[test]
    fn every_tap_is_inside() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1e15, -1e15, 2.5e38, 1e18];
        let near = (-400..400).map(|i| f64::from(i) / 37.0);
        for coordinate in odd.into_iter().chain(near) {
            for (len, align) in [(1, true), (1, false), (2, true), (2, false), (7, true), (7, false), (1 << 50, false)]
            {
                for (filter, outside) in FILTERS.into_iter().flat_map(|f| OUTSIDES.map(|o| (f, o))) {
                    let taps = taps(len, align, filter, outside, coordinate);
                    let total: f64 = taps.iter().map(|t| t.weight).sum();
                    assert!(taps.iter().all(|t| whole(t.at) < len && t.weight.is_finite() && t.slope.is_finite()));
                    assert!(outside == Outside::Zeros || (total - 1.0).abs() < 1e-12, "{coordinate} {len} {filter:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_outside() {
        for (coordinate, border) in [(f64::NAN, 0), (f64::INFINITY, 6), (f64::NEG_INFINITY, 0)] {
            for filter in FILTERS {
                let read = |outside| {
                    let taps = taps(7, false, filter, outside, coordinate);
                    assert!(taps.iter().all(|t| t.slope == 0.0));
                    taps.into_iter().filter(|t| t.weight != 0.0).map(|t| (whole(t.at), t.weight)).collect::<Vec<_>>()
                };
                assert_eq!(read(Outside::Zeros), []);
                assert_eq!(read(Outside::Border), [(border, 1.0)]);
                assert_eq!(read(Outside::Reflection), [(0, 1.0)]);
            }
        }
    }

    #[test]
    fn mirrored_arrays_repeat() {
        for (align, wanted) in [(true, [1, 2, 1, 0, 1, 2, 1, 0, 1]), (false, [1, 2, 2, 1, 0, 0, 1, 2, 2])] {
            let axis = Axis::new(3, align);
            for (step, wanted) in wanted.into_iter().enumerate() {
                let place = 1.0 + step as f64;
                let coordinate = (place - axis.start) / axis.scale - 1.0;
                let nearest = taps(3, align, Filter::Nearest, Outside::Reflection, coordinate);
                assert_eq!(whole(nearest[0].at), wanted, "{align} {step}");
                for back in -1..3 {
                    assert_eq!(
                        axis.mirrored(place - f64::from(back), f64::from(back)),
                        wanted as f64,
                        "{align} {step}"
                    );
                }
            }
        }
    }

    #[test]
    fn slopes_are_derivatives() {
        let h = 1.0 / 1_048_576.0;
        for (filter, outside) in [Filter::Linear, Filter::Cubic].into_iter().flat_map(|f| OUTSIDES.map(|o| (f, o))) {
            for align in [false, true] {
                let value = |c: f64| -> f64 {
                    taps(6, align, filter, outside, c).iter().map(|t| t.weight * (t.at * t.at + 1.0)).sum()
                };
                for i in -30..30 {
                    let c = f64::from(i) / 11.0 + 0.0137;
                    let rise: f64 =
                        taps(6, align, filter, outside, c).iter().map(|t| t.slope * (t.at * t.at + 1.0)).sum();
                    let found = (value(c + h) - value(c - h)) / (2.0 * h);
                    assert!((rise - found).abs() < 1e-3, "{filter:?} {outside:?} {align} {c}: {rise} {found}");
                }
            }
        }
    }
}
