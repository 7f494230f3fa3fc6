//! Folding rows into one: the vertical half of every separable operation.

use std::mem::MaybeUninit;

/// Columns whose running results are held in registers where there are too many rows to unroll.
const TILE: usize = 64;

/// `dst[i] = fold(n-1, .. fold(1, first(row(0)[i]), row(1)[i]) .., row(n-1)[i])`; `n` is at least 1.
///
/// Few rows are read side by side and written once; many are folded tile by tile. Adding row after row into `dst`
/// instead costs a load and a store for each row and element.
#[inline(always)]
pub fn fold_rows<'a, T: Copy + 'a, A: Copy>(
    n: usize,
    row: impl Fn(usize) -> &'a [T],
    dst: &mut [MaybeUninit<A>],
    first: impl Fn(T) -> A,
    fold: impl Fn(usize, A, T) -> A,
) {
    let len = dst.len();
    let row = |j: usize| &row(j)[..len];
    match n {
        0 => {}
        1 => {
            for (d, &a) in dst.iter_mut().zip(row(0)) {
                d.write(first(a));
            }
        }
        2 => {
            for ((d, &a), &b) in dst.iter_mut().zip(row(0)).zip(row(1)) {
                d.write(fold(1, first(a), b));
            }
        }
        3 => {
            for (((d, &a), &b), &c) in dst.iter_mut().zip(row(0)).zip(row(1)).zip(row(2)) {
                d.write(fold(2, fold(1, first(a), b), c));
            }
        }
        4 => {
            for ((((d, &a), &b), &c), &e) in dst.iter_mut().zip(row(0)).zip(row(1)).zip(row(2)).zip(row(3)) {
                d.write(fold(3, fold(2, fold(1, first(a), b), c), e));
            }
        }
        _ => many(n, row, dst, first, fold),
    }
}

#[inline(always)]
fn many<'a, T: Copy + 'a, A: Copy>(
    n: usize,
    row: impl Fn(usize) -> &'a [T],
    dst: &mut [MaybeUninit<A>],
    first: impl Fn(T) -> A,
    fold: impl Fn(usize, A, T) -> A,
) {
    let mut from = 0;
    for dst in dst.chunks_mut(TILE) {
        let at = |j: usize| &row(j)[from..from + dst.len()];
        let mut held = [first(at(0)[0]); TILE];
        for (h, &v) in held.iter_mut().zip(at(0)) {
            *h = first(v);
        }
        for j in 1..n {
            for (h, &v) in held.iter_mut().zip(at(j)) {
                *h = fold(j, *h, v);
            }
        }
        from += dst.len();
        for (d, &h) in dst.iter_mut().zip(&held) {
            d.write(h);
        }
    }
}
