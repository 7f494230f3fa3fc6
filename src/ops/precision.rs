//! How closely sums of weighted integers are known in float32.

use crate::element::Precision;
use crate::geometry::gcd;
use crate::geometry::taps::Taps;

/// Half the distance from 1 to the next float32: the relative error of a rounding.
const ROUNDING: f64 = 1.0 / (1u64 << 24) as f64;

/// Bits of a float32.
const BITS: i32 = 24;

/// The finest power of two that weights are looked at as multiples of.
const FINEST_POWER: f64 = 4096.0;

/// Largest error that leaves few enough sums in doubt.
const MOST_ERROR: f64 = 1.0 / 1024.0;

/// What the weights of one axis do to a sum.
struct Gain {
    /// Largest sum of weights' magnitudes.
    sum: f64,
    /// Largest sum of those sums as they grow tap by tap: each is rounded.
    partial: f64,
    /// The weights are multiples of this, if of any that ties can be told from.
    unit: Option<f64>,
}

impl Gain {
    fn new(taps: &Taps) -> Self {
        let (mut sum, mut partial) = (0f64, 0f64);
        for o in 0..taps.out_len() {
            let (mut so_far, mut partials) = (0.0, 0.0);
            for w in taps.weights(o) {
                so_far += w.abs();
                partials += so_far;
            }
            (sum, partial) = (sum.max(so_far), partial.max(partials));
        }
        Self { sum, partial, unit: unit_of(taps) }
    }

    fn is_identity(&self) -> bool {
        self.unit == Some(1.0) && self.partial <= 1.0
    }
}

/// What the weights are multiples of, if that is not too small: a power of two, or as linear interpolation and area averages
/// have it.
fn unit_of(taps: &Taps) -> Option<f64> {
    let whole = |units: f64| taps.all_weights().iter().all(|w| (w * units - (w * units).round()).abs() < 1e-13 * units);
    if whole(FINEST_POWER) {
        let together =
            taps.all_weights().iter().fold(FINEST_POWER as i64, |all, w| all | (w * FINEST_POWER).round() as i64);
        return Some(2f64.powi(together.trailing_zeros() as i32) / FINEST_POWER);
    }
    let (outs, ins) = taps.period_hint();
    let units = [2 * outs, 2 * ins, of_all_counts(taps).unwrap_or(0)].map(|n| n as f64);
    units.into_iter().find(|units| *units > 0.0 && whole(*units)).map(|units| 1.0 / units)
}

/// What each number of taps divides, if that is not large: means of some elements, and of one more, are multiples of one part in it.
fn of_all_counts(taps: &Taps) -> Option<usize> {
    let mut all = 1;
    for n in (0..taps.out_len()).map(|o| taps.at(o).count).filter(|n| *n > 0) {
        if all % n == 0 {
            continue; // as most: a division, not a gcd
        }
        all = (all / gcd(all, n)).saturating_mul(n);
        if all > FINEST_POWER as usize {
            return None;
        }
    }
    Some(all)
}

/// The powers of two that make the weights along each axis whole, if sums of integers up to a magnitude are then exact in 16
/// bits.
pub fn in_16_bits(taps: [&Taps; 3], largest: f64) -> Option<[f64; 3]> {
    let gains = taps.map(Gain::new);
    let units = gains.each_ref().map(|g| g.unit.filter(|u| is_power_of_two(*u)));
    let [Some(d), Some(h), Some(w)] = units else { return None };
    // Weights that add up to almost one, as a long filter's do beside an edge, are no multiples of anything.
    let whole = |t: &Taps, unit: f64| t.all_weights().iter().all(|w| (w / unit).fract() == 0.0);
    if !taps.into_iter().zip([d, h, w]).all(|(t, unit)| whole(t, unit)) {
        return None;
    }
    let most = gains.iter().fold(largest, |m, g| m * g.sum.max(1.0));
    let fits = (most + 1.0) / (d * h * w) <= f64::from(i16::MAX);
    (fits && d * h * w <= 1.0).then(|| [d, h, w].map(|unit| 1.0 / unit))
}

/// The precision of sums over these taps, of integers up to a magnitude, taken in float32: along W, and along D and H at
/// once, in either order. Nothing if it is not enough.
pub fn in_float32(taps: [&Taps; 3], largest: f64) -> Option<Precision> {
    let [d, h, w] = taps.map(Gain::new);
    let most = largest * d.sum * h.sum * w.sum;
    // Sums are told apart as multiples of this.
    let finest = BITS - 2 - (most + 1.0).log2().ceil() as i32;
    let unit = d.unit.zip(h.unit).zip(w.unit).map(|((d, h), w)| d * h * w);
    if let Some(unit) = unit
        && is_power_of_two(unit)
        && -unit.log2() as i32 <= finest.min(BITS - 2)
    {
        // Every product and every sum is a float32.
        return u32::try_from(finest).ok().filter(|f| *f > 0).map(|fraction| Precision { fraction, doubt: None });
    }
    // Weights that are not multiples of a power of two are rounded. So is each partial sum, unless all are float32s.
    let rounded = |g: &Gain| if g.unit.is_some_and(is_power_of_two) { 0.0 } else { 1.0 };
    let exact = |g: &Gain| g.unit.is_some_and(|u| is_power_of_two(u) && (largest * g.sum + 1.0) / u < 2f64.powi(BITS));
    // Along W, and down D and H with the products of their weights, in one sum; in either order.
    let across = w.partial / w.sum + rounded(&w);
    let down = if d.is_identity() {
        h.partial / h.sum + rounded(&h)
    } else if h.is_identity() {
        d.partial / d.sum + rounded(&d)
    } else {
        (taps[0].widest() * taps[1].widest()) as f64 + rounded(&d) + rounded(&h)
    };
    let flat = d.is_identity() || h.is_identity();
    let passes = match (exact(&w), flat && exact(&d) && exact(&h)) {
        (true, true) => across.max(down), // whichever is the second
        _ => across + down,
    };
    let error = most * ROUNDING * passes * 1.01;
    if error.is_nan() || error > MOST_ERROR || finest < 10 {
        return None;
    }
    // Coarse enough that the error does not keep a tie from being seen as one.
    let coarse = (-error.log2()).floor() as i32 - 1;
    let step = |fraction: i32| 2f64.powi(-fraction);
    if let Some(unit) = unit
        && unit / 2.0 > step(coarse.min(finest)) / 2.0 + error
    {
        return u32::try_from(coarse.min(finest)).ok().map(|fraction| Precision { fraction, doubt: None });
    }
    let doubt = Some((error / step(finest) + 0.5).floor() as u32);
    u32::try_from(finest).ok().map(|fraction| Precision { fraction, doubt })
}

fn is_power_of_two(v: f64) -> bool {
    v > 0.0 && v.log2().fract() == 0.0
}
