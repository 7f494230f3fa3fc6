//! Pooling and linear resizing of one type in many shapes, against plain loops, on every engine: what mutants of
//! `src/kernels/` are tried on. One type, so that it compiles fast; `tests/ops.rs` has the others.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod common;

use common::{Noise, every_engine, on_every_engine};
use ndarray::{ArrayD, IxDyn};
use upsample_rs::{
    AdaptiveParams, AvgPoolParams, Divisor, InterpolateParams, Mode, Pad, Padding, PoolParams, Rounding, Target,
    adaptive_avg_pool, avg_pool, interpolate, max_pool, max_pool_with_indices,
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

/// The parameters of a pooling by these windows.
fn pooling(rows: Windows, cols: Windows) -> PoolParams {
    let of = |f: fn(Windows) -> usize| vec![f(rows), f(cols)];
    PoolParams {
        stride: of(|w| w.1),
        dilation: of(|w| w.2),
        padding: of(|w| w.3).into_iter().map(|p| Padding::Explicit(Pad::both(p))).collect(),
        ceil_mode: rows.4,
        ..PoolParams::new(&of(|w| w.0))
    }
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
    for odd in [false, true] {
        let x = values(&[3, h, w], odd);
        let params = pooling(rows, cols);
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
        assert_eq!((&values, &found), (&best, &places), "{what}");
        // Channels last: the same, with the planes side by side.
        let last = turned(&x);
        let params = PoolParams { channels_last: true, ..params };
        let turned = on_every_engine(&what, || {
            let y = max_pool(&last.view(), &params).unwrap();
            y.permuted_axes(IxDyn(&[2, 0, 1])).iter().map(bits).collect::<Vec<_>>()
        });
        assert_eq!(turned, alone, "{what}, channels last");
        let located = on_every_engine(&what, || {
            let (_, i) = max_pool_with_indices::<f32, i64>(&last.view(), &params).unwrap();
            i.permuted_axes(IxDyn(&[2, 0, 1])).iter().copied().collect::<Vec<_>>()
        });
        assert_eq!(located, places, "{what}, channels last");
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

/// Sums of windows, which are exact: of small whole numbers.
fn sums(x: &ArrayD<f32>, rows: &[Vec<usize>], cols: &[Vec<usize>]) -> Vec<f32> {
    let mut sums = Vec::new();
    for plane in x.outer_iter() {
        for (ys, xs) in rows.iter().flat_map(|ys| cols.iter().map(move |xs| (ys, xs))) {
            sums.push(
                ys.iter().flat_map(|&i| xs.iter().map(move |&j| (i, j))).map(|at| plane[<[usize; 2]>::from(at)]).sum(),
            );
        }
    }
    sums
}

/// Planes side by side.
fn turned(x: &ArrayD<f32>) -> ArrayD<f32> {
    x.view().permuted_axes(IxDyn(&[1, 2, 0])).as_standard_layout().into_owned()
}

fn check_sums((h, w): (usize, usize), rows: Windows, cols: Windows) {
    let x = values(&[5, h, w], false);
    let mut params =
        AvgPoolParams { windows: pooling(rows, cols), divisor: Divisor::Fixed(1.0), rounding: Rounding::Nearest };
    let what = format!("sums, {h} x {w}, {rows:?} {cols:?}");
    let wanted = sums(&x, &windows(h, rows), &windows(w, cols));
    let found = on_every_engine(&what, || avg_pool(&x.view(), &params).unwrap().iter().copied().collect::<Vec<_>>());
    assert_eq!(found, wanted, "{what}");
    params.windows.channels_last = true;
    let last = turned(&x);
    let found = on_every_engine(&what, || {
        let y = avg_pool(&last.view(), &params).unwrap();
        y.permuted_axes(IxDyn(&[2, 0, 1])).iter().copied().collect::<Vec<_>>()
    });
    assert_eq!(found, wanted, "{what}, channels last");
}

#[test]
fn the_sum_of_each_window() {
    let one = (1, 1, 1, 0, false);
    for kernel in [1, 2, 3, 4, 5, 7, 8, 13, 20] {
        for (stride, pad, ceil) in [(1, 0, false), (2, kernel / 2, true), (kernel, 0, false)] {
            let windows = (kernel, stride, 1, pad, ceil);
            check_sums((2, 41), (1, 1, 1, 0, ceil), windows);
            check_sums((41, 3), windows, (1, 1, 1, 0, ceil));
            check_sums((23, 37), windows, windows);
        }
    }
    for (kernel, stride, dilation) in [(2, 1, 2), (3, 2, 2), (3, 1, 5), (4, 3, 3)] {
        check_sums((29, 34), (kernel, stride, dilation, 1, false), (kernel, stride, dilation, 1, false));
    }
    check_sums((3, 300), one, (100, 90, 1, 0, false));
    check_largest((3, 300), one, (100, 90, 1, 0, false));
    check_largest((3, 300), one, (130, 1, 1, 7, false));
}

#[test]
fn windows_of_many_lengths() {
    for ((h, w), (m, n)) in [((7, 50), (3, 7)), ((40, 9), (40, 4)), ((13, 300), (5, 3)), ((2, 6), (2, 6))] {
        let x = values(&[9, h, w], false);
        let bins = |len: usize, out: usize| {
            (0..out).map(|o| (o * len / out..((o + 1) * len).div_ceil(out)).collect()).collect::<Vec<Vec<usize>>>()
        };
        let (rows, cols) = (bins(h, m), bins(w, n));
        let lens: Vec<f32> = rows.iter().flat_map(|r| cols.iter().map(|c| (r.len() * c.len()) as f32)).collect();
        let wanted: Vec<f32> = sums(&x, &rows, &cols).iter().zip(lens.iter().cycle()).map(|(s, n)| s / n).collect();
        for channels_last in [false, true] {
            let params = AdaptiveParams { channels_last, ..AdaptiveParams::new(&[m, n]) };
            let given = if channels_last { turned(&x) } else { x.clone() };
            let found = every_engine(&format!("{h} {w} {m} {n}"), || {
                let y = adaptive_avg_pool(&given.view(), &params).unwrap();
                let y = if channels_last { y.permuted_axes(IxDyn(&[2, 0, 1])) } else { y };
                y.iter().copied().collect::<Vec<_>>()
            });
            for (a, b) in found.iter().flat_map(|f| f.iter().zip(&wanted)) {
                assert!((a - b).abs() < 1e-4, "{h} {w} {m} {n} {channels_last}: {a} {b}");
            }
        }
    }
}

/// The share that each input has in each output of linear interpolation, widened where it shrinks.
fn shares(len: usize, out: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = len as f64 / out as f64;
    let reach = scale.max(1.0);
    let one = |o: usize| {
        let centre = (o as f64 + 0.5) * scale;
        let share = |i: usize| (i, (1.0 - (i as f64 + 0.5 - centre).abs() / reach).max(0.0));
        let of: Vec<_> = (0..len).map(share).filter(|s| s.1 > 0.0).collect();
        let sum: f64 = of.iter().map(|s| s.1).sum();
        of.into_iter().map(|(i, share)| (i, share / sum)).collect()
    };
    (0..out).map(one).collect()
}

fn check_resizes([c, h, w]: [usize; 3], sizes: &[(usize, usize)]) {
    let x = values(&[c, h, w], false);
    for &(m, n) in sizes {
        let (rows, cols) = (shares(h, m), shares(w, n));
        for channels_last in [false, true] {
            let mut params = InterpolateParams::new(Mode::Linear, Target::Size(vec![m, n]));
            (params.antialias, params.channels_last) = (true, channels_last);
            let given = if channels_last { turned(&x) } else { x.clone() };
            for found in every_engine(&format!("{m} {n}"), || interpolate(&given.view(), &params).unwrap()) {
                let found = if channels_last { found.permuted_axes(IxDyn(&[2, 0, 1])) } else { found };
                for (at, got) in found.indexed_iter() {
                    let wanted: f64 = rows[at[1]]
                        .iter()
                        .flat_map(|r| cols[at[2]].iter().map(move |c| (r, c)))
                        .map(|(r, c)| r.1 * c.1 * f64::from(x[[at[0], r.0, c.0]]))
                        .sum();
                    assert!(
                        (f64::from(*got) - wanted).abs() < 1e-4,
                        "{m} {n} {channels_last} at {at:?}: {got} {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn linear_resizes_of_long_rows() {
    let sizes = [(6, 288), (12, 432), (3, 576), (6, 1152), (3, 72), (2, 48), (6, 36), (4, 100), (9, 201)];
    check_resizes([3, 6, 144], &sizes);
    check_resizes([40, 2, 300], &[(3, 700)]); // channels for more than a vector, columns for more than a tile
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
