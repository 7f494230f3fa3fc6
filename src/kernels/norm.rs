//! What surrounds the sums of averages and norms: divisions, powers and roots.

use std::cell::Cell;
use std::mem::MaybeUninit;

use crate::element::Real;

/// `row / divisor`. (One true division: where the divisor is a power of two, which a product with its reciprocal
/// cannot be told from, it is that product.)
#[inline(always)]
pub fn divide<K: Real>(row: &[K], divisor: K, dst: &mut [MaybeUninit<K>]) {
    let reciprocal = K::div(K::of(1.0), divisor);
    if K::is_power_of_two(divisor) {
        dst.iter_mut().zip(row).for_each(|(d, v)| _ = d.write(K::mul(*v, reciprocal)));
    } else {
        dst.iter_mut().zip(row).for_each(|(d, v)| _ = d.write(K::div(*v, divisor)));
    }
}

/// The power of a norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Power {
    /// The absolute value itself; the largest is folded.
    Infinite,
    /// The absolute value.
    One,
    /// The square.
    Two,
    /// Any other.
    Other(f64),
}

impl Power {
    /// The power `p`, above 0.
    #[must_use]
    pub fn new(p: f64) -> Self {
        if p == 1.0 {
            Self::One
        } else if p == 2.0 {
            Self::Two
        } else if p.is_infinite() {
            Self::Infinite
        } else {
            Self::Other(p)
        }
    }

    /// `|v|^p`.
    #[inline(always)]
    pub fn raise<K: Real>(self, row: &[Cell<K>], to: &mut [K]) {
        let pairs = to.iter_mut().zip(row);
        match self {
            Self::One | Self::Infinite => pairs.for_each(|(to, v)| *to = K::abs(v.get())),
            Self::Two => {
                pairs.for_each(|(to, v)| {
                    let v = v.get();
                    *to = K::mul(v, v);
                });
            }
            Self::Other(p) => pairs.for_each(|(to, v)| *to = K::powf(K::abs(v.get()), p)),
        }
    }

    /// `v^(1/p)`.
    #[inline(always)]
    pub fn root<K: Real>(self, row: &[K], dst: &mut [MaybeUninit<K>]) {
        let pairs = dst.iter_mut().zip(row);
        match self {
            Self::One | Self::Infinite => pairs.for_each(|(d, v)| _ = d.write(*v)),
            Self::Two => pairs.for_each(|(d, v)| _ = d.write(K::sqrt(*v))),
            Self::Other(p) => pairs.for_each(|(d, v)| _ = d.write(K::powf(*v, 1.0 / p))),
        }
    }
}
