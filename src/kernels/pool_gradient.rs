//! Gradients of poolings that compute: sums of long runs, and the two factors of a norm's gradient.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::element::Real;
use crate::geometry::readers::{Blocks, Part};

/// `dst[i]` is the sum of the run of element `i`, for each of `elements`, `inner` values each. `src` begins at window
/// `from`; `room` is twice as long. The cost does not grow with the runs.
#[inline(always)]
pub fn long_sums<K: Real>(
    blocks: &Blocks,
    src: &[K],
    from: usize,
    elements: &Range<usize>,
    inner: usize,
    room: &mut [K],
    dst: &mut [K],
) {
    let n = src.len() / inner;
    let (up_to, rest) = room.split_at_mut(src.len());
    let onward = &mut rest[..src.len()];
    let row = |o: usize| (o - from) * inner..(o - from + 1) * inner;
    for o in from..from + n {
        let at = row(o);
        if blocks.begins[o] || o < from + blocks.step {
            up_to[at.clone()].copy_from_slice(&src[at]);
        } else {
            let (before, to) = up_to.split_at_mut(at.start);
            add(&before[row(o - blocks.step)], &src[at], &mut to[..inner]);
        }
    }
    for o in (from..from + n).rev() {
        let at = row(o);
        if blocks.ends[o] || o + blocks.step >= from + n {
            onward[at.clone()].copy_from_slice(&src[at]);
        } else {
            let (to, after) = onward.split_at_mut(at.end);
            let next = row(o + blocks.step);
            add(&src[at.clone()], &after[next.start - at.end..next.end - at.end], &mut to[at]);
        }
    }
    for (part, dst) in blocks.parts[elements.clone()].iter().zip(dst.chunks_exact_mut(inner)) {
        match *part {
            Part::Empty => dst.fill(K::default()),
            Part::UpTo(last) => dst.copy_from_slice(&up_to[row(last)]),
            Part::From(first) => dst.copy_from_slice(&onward[row(first)]),
            Part::Both(first, last) => add(&onward[row(first)], &up_to[row(last)], dst),
            Part::Within(r) => {
                dst.copy_from_slice(&src[row(r.start)]);
                for j in 1..r.count {
                    let more = &src[row(r.start + j * r.step)];
                    dst.iter_mut().zip(more).for_each(|(d, v)| *d = K::add(*d, *v));
                }
            }
        }
    }
}

#[inline(always)]
fn add<K: Real>(a: &[K], b: &[K], dst: &mut [K]) {
    dst.iter_mut().zip(a).zip(b).for_each(|((d, a), b)| *d = K::add(*a, *b));
}

/// `dst = grads * norms^(1 - p)`, zero where the norm is: what a row of windows gives to each of its elements, before the
/// factor that is the element's own.
#[inline(always)]
pub fn norm_shares<K: Real>(p: f64, norms: &[K], grads: &[Cell<K>], dst: &mut [K]) {
    let rows = dst.iter_mut().zip(norms).zip(grads);
    let unless_zero = |y: K, share: K| if y == K::default() { y } else { share };
    if p == 1.0 {
        rows.for_each(|((d, _), g)| *d = g.get());
    } else if p == 2.0 {
        rows.for_each(|((d, y), g)| *d = unless_zero(*y, K::div(g.get(), *y)));
    } else if p == 3.0 {
        rows.for_each(|((d, y), g)| *d = unless_zero(*y, K::div(g.get(), K::mul(*y, *y))));
    } else {
        rows.for_each(|((d, y), g)| *d = unless_zero(*y, K::mul(g.get(), K::powf(*y, 1.0 - p))));
    }
}

/// `dst = sums * sign(x) * |x|^(p - 1)`, zero where `x` is: the sums of all shares, times the factors that are the
/// elements' own.
#[inline(always)]
pub fn own_factors<K: Real>(p: f64, x: &[Cell<K>], sums: &[K], dst: &mut [MaybeUninit<K>]) {
    let rows = dst.iter_mut().zip(sums).zip(x);
    let unless_zero = |x: K, product: K| if x == K::default() { K::default() } else { product };
    if p == 1.0 {
        rows.for_each(|((d, s), x)| _ = d.write(unless_zero(x.get(), K::mul(*s, slope(x.get(), K::of(1.0))))));
    } else if p == 2.0 {
        rows.for_each(|((d, s), x)| _ = d.write(unless_zero(x.get(), K::mul(*s, x.get()))));
    } else if p == 3.0 {
        rows.for_each(|((d, s), x)| {
            let x = x.get();
            d.write(unless_zero(x, K::mul(*s, K::mul(x, K::abs(x)))));
        });
    } else {
        rows.for_each(|((d, s), x)| {
            let x = x.get();
            d.write(unless_zero(x, K::mul(*s, slope(x, K::powf(K::abs(x), p - 1.0)))));
        });
    }
}

/// `magnitude` with the sign of `x`, which is not 0; NaN for NaN.
#[inline(always)]
pub fn slope<K: Real>(x: K, magnitude: K) -> K {
    let negative = if x < K::default() { K::mul(magnitude, K::of(-1.0)) } else { x };
    if x > K::default() { magnitude } else { negative }
}
