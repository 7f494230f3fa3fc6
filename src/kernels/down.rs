//! Folding rows into one: the vertical half of every separable operation.

use std::mem::MaybeUninit;

/// Columns whose running results are held in registers where there are too many rows to unroll.
const TILE: usize = 64;

/// `dst[i] = fold(n-1, .. fold(1, first(row(0)[i]), row(1)[i]) .., row(n-1)[i])`; `n` is at least 1.
///
/// Few rows are read side by side and written once; many are folded tile by tile. Adding row after row into `dst`
/// instead costs a load and a store for each row and element. Rows may be plain or of cells.
#[inline(always)]
pub fn fold_rows<'a, T: 'a, A: Copy>(
    n: usize,
    row: impl Fn(usize) -> &'a [T],
    dst: &mut [MaybeUninit<A>],
    first: impl Fn(&T) -> A,
    fold: impl Fn(usize, A, &T) -> A,
) {
    let len = dst.len();
    let row = |j: usize| &row(j)[..len];
    match n {
        0 => {}
        1 => {
            for (d, a) in dst.iter_mut().zip(row(0)) {
                d.write(first(a));
            }
        }
        2 => {
            for ((d, a), b) in dst.iter_mut().zip(row(0)).zip(row(1)) {
                d.write(fold(1, first(a), b));
            }
        }
        3 => {
            for (((d, a), b), c) in dst.iter_mut().zip(row(0)).zip(row(1)).zip(row(2)) {
                d.write(fold(2, fold(1, first(a), b), c));
            }
        }
        4 => {
            for ((((d, a), b), c), e) in dst.iter_mut().zip(row(0)).zip(row(1)).zip(row(2)).zip(row(3)) {
                d.write(fold(3, fold(2, fold(1, first(a), b), c), e));
            }
        }
        _ => many(n, row, dst, first, fold),
    }
}

/// [`fold_rows`] without loops for few rows.
#[inline(always)]
pub(super) fn any<'a, T: 'a, A: Copy>(
    n: usize,
    row: impl Fn(usize) -> &'a [T],
    dst: &mut [MaybeUninit<A>],
    first: impl Fn(&T) -> A,
    fold: impl Fn(usize, A, &T) -> A,
) {
    if n == 0 {
        return;
    }
    for (i, dst) in dst.chunks_mut(TILE).enumerate() {
        let tile = |j: usize| &row(j)[i * TILE..][..dst.len()];
        let mut held = [first(&tile(0)[0]); TILE];
        held.iter_mut().zip(tile(0)).for_each(|(h, v)| *h = first(v));
        for j in 1..n {
            for (h, v) in held.iter_mut().zip(tile(j)) {
                *h = fold(j, *h, v);
            }
        }
        dst.iter_mut().zip(held).for_each(|(d, h)| _ = d.write(h));
    }
}

/// [`fold_rows`] for three rows or more.
#[inline(always)]
pub(super) fn many<'a, T: 'a, A: Copy>(
    n: usize,
    row: impl Fn(usize) -> &'a [T],
    dst: &mut [MaybeUninit<A>],
    first: impl Fn(&T) -> A,
    fold: impl Fn(usize, A, &T) -> A,
) {
    let len = dst.len();
    let mut from = 0;
    while from < len {
        let m = TILE.min(len - from);
        let mut held = [first(&row(0)[from]); TILE];
        let held = &mut held[..m];
        // Three rows at a time: on short tiles a loop for each row costs more than its work.
        for (((h, a), b), c) in held.iter_mut().zip(&row(0)[from..]).zip(&row(1)[from..]).zip(&row(2)[from..]) {
            *h = fold(2, fold(1, first(a), b), c);
        }
        let mut j = 3;
        while j + 2 < n {
            let rows = row(j)[from..].iter().zip(&row(j + 1)[from..]).zip(&row(j + 2)[from..]);
            for (h, ((a, b), c)) in held.iter_mut().zip(rows) {
                *h = fold(j + 2, fold(j + 1, fold(j, *h, a), b), c);
            }
            j += 3;
        }
        while j < n {
            for (h, v) in held.iter_mut().zip(&row(j)[from..]) {
                *h = fold(j, *h, v);
            }
            j += 1;
        }
        for (d, h) in dst[from..].iter_mut().zip(held) {
            d.write(*h);
        }
        from += m;
    }
}
