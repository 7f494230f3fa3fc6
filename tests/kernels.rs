//! Pooling and linear resizing of one type in many shapes, against plain loops, on every engine: what mutants of
//! `src/kernels/` are tried on. One type, so that it compiles fast; `tests/ops.rs` has the others.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::{Noise, every_engine, on_every_engine};
use ndarray::{ArrayD, IxDyn};
use upsample_rs::{
    InterpolateParams, Mode, Pad, Padding, PoolParams, Target, interpolate, max_pool, max_pool_with_indices,
};

/// Small whole numbers, of which many are equal, with NaN and both zeros among them where `odd`.
fn values(shape: &[usize], odd: bool) -> ArrayD<f32> {
    let mut noise = Noise::new(shape.iter().product::<usize>() + usize::from(odd));
    ArrayD::from_shape_simple_fn(IxDyn(shape), || match noise.below(if odd { 17 } else { 15 }) {
        15 => f32::NAN,
        16 => -0.0,
        n => n as f32 - 9.0,
    })
}

/// Windows of one axis: kernel, stride, dilation, padding, and whether a last partial one counts.
type Windows = (usize, usize, usize, usize, bool);

/// The positions of each window, by definition.
fn windows(len: usize, (kernel, stride, dilation, pad, ceil): Windows) -> Vec<Vec<usize>> {
    let room = len + 2 * pad - (kernel - 1) * dilation - 1;
    let mut starts: Vec<usize> = (0..=room).step_by(stride).collect();
    let next = starts.len() * stride;
    if ceil && !room.is_multiple_of(stride) && next < len + pad {
        starts.push(next);
    }
    let taps = |s: usize| (0..kernel).filter_map(move |k| (s + k * dilation).checked_sub(pad).filter(|i| *i < len));
    starts.into_iter().map(|s| taps(s).collect()).collect()
}

/// The largest of each window and where it is in its plane: a NaN, or else the first of the largest.
fn largest(x: &ArrayD<f32>, rows: Windows, cols: Windows) -> (Vec<u32>, Vec<i64>) {
    let (h, w) = (x.shape()[1], x.shape()[2]);
    let (mut best, mut places) = (Vec::new(), Vec::new());
    for plane in x.outer_iter() {
        for (ys, xs) in windows(h, rows).iter().flat_map(|ys| windows(w, cols).into_iter().map(move |xs| (ys, xs))) {
            let mut found: Option<(f32, i64)> = None;
            for (i, j) in ys.iter().flat_map(|&i| xs.iter().map(move |&j| (i, j))) {
                let v = plane[[i, j]];
                if found.is_none_or(|(held, _)| v > held || v.is_nan() && !held.is_nan()) {
                    found = Some((v, (i * w + j) as i64));
                }
            }
            let (v, place) = found.unwrap();
            best.push(if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() });
            places.push(place);
        }
    }
    (best, places)
}

fn check_largest((h, w): (usize, usize), rows: Windows, cols: Windows) {
    let of = |f: fn(Windows) -> usize| vec![f(rows), f(cols)];
    for odd in [false, true] {
        let x = values(&[3, h, w], odd);
        let params = PoolParams {
            stride: of(|w| w.1),
            dilation: of(|w| w.2),
            padding: of(|w| w.3).into_iter().map(|p| Padding::Explicit(Pad::both(p))).collect(),
            ceil_mode: rows.4,
            ..PoolParams::new(&of(|w| w.0))
        };
        let what = format!("{h} x {w}, {rows:?} {cols:?} {odd}");
        let (best, places) = largest(&x, rows, cols);
        let bits = |v: &f32| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() };
        let alone =
            on_every_engine(&what, || max_pool(&x.view(), &params).unwrap().iter().map(bits).collect::<Vec<_>>());
        assert_eq!(alone, best, "{what}");
        let (values, found) = on_every_engine(&what, || {
            let (v, i) = max_pool_with_indices::<f32, i64>(&x.view(), &params).unwrap();
            (v.iter().map(bits).collect::<Vec<_>>(), i.iter().copied().collect::<Vec<_>>())
        });
        assert_eq!((values, found), (best, places), "{what}");
        // Channels last: the same, with the planes side by side.
        let last = x.view().permuted_axes(IxDyn(&[1, 2, 0])).as_standard_layout().into_owned();
        let params = PoolParams { channels_last: true, ..params };
        let turned = on_every_engine(&what, || {
            let y = max_pool(&last.view(), &params).unwrap();
            y.permuted_axes(IxDyn(&[2, 0, 1])).iter().map(bits).collect::<Vec<_>>()
        });
        assert_eq!(turned, alone, "{what}, channels last");
    }
}

#[test]
fn the_largest_of_each_window() {
    let one = (1, 1, 1, 0, false);
    for kernel in [1, 2, 3, 4, 5, 7, 8, 13, 20] {
        for (stride, pad, ceil) in
            [(1, 0, false), (2, 0, true), (2, kernel / 2, false), (3, kernel / 2, true), (kernel, 0, true)]
        {
            let windows = (kernel, stride, 1, pad, ceil);
            check_largest((2, 41), (1, 1, 1, 0, ceil), windows);
            check_largest((41, 3), windows, (1, 1, 1, 0, ceil));
            check_largest((23, 37), windows, windows);
        }
    }
    for (kernel, stride, dilation) in [(2, 1, 2), (3, 2, 2), (3, 1, 5), (4, 3, 3), (2, 4, 7)] {
        let windows = (kernel, stride, dilation, 1, false);
        check_largest((2, 43), one, windows);
        check_largest((29, 34), windows, windows);
    }
}

#[test]
fn linear_resizes() {
    let x = values(&[2, 5, 7], false);
    let (h, w) = (5_usize, 7_usize);
    for (m, n) in [(5, 7), (10, 14), (15, 21), (20, 28), (3, 4), (4, 9), (1, 1), (13, 7), (5, 40), (64, 70)] {
        let params = InterpolateParams::new(Mode::Linear, Target::Size(vec![m, n]));
        // (Levels that fuse products and sums may differ in the last place.)
        let levels = every_engine(&format!("{m} {n}"), || interpolate(&x.view(), &params).unwrap());
        let at = |o: usize, len: usize, out: usize| {
            let p = ((o as f64 + 0.5) * len as f64 / out as f64 - 0.5).clamp(0.0, (len - 1) as f64);
            (p as usize, (p as usize + 1).min(len - 1), p.fract())
        };
        for ((c, i), j) in (0..2).flat_map(|c| (0..m).map(move |i| (c, i))).flat_map(|ci| (0..n).map(move |j| (ci, j)))
        {
            let ((y0, y1, t), (x0, x1, u)) = (at(i, h, m), at(j, w, n));
            let v = |y: usize, k: usize| f64::from(x[[c, y, k]]);
            let wanted =
                (1.0 - t) * ((1.0 - u) * v(y0, x0) + u * v(y0, x1)) + t * ((1.0 - u) * v(y1, x0) + u * v(y1, x1));
            for found in &levels {
                let got = f64::from(found[[c, i, j]]);
                assert!((got - wanted).abs() < 1e-5, "{m} {n} at {c} {i} {j}: {got} {wanted}");
            }
        }
    }
}
