//! Every function on arrays against its definition, written as plain loops: every memory layout, instruction set and
//! number of threads, sizes on both sides of the vector widths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Engine, Layout, as4, channels_first, channels_last, every_engine, noise, on_every_engine};
use half::{bf16, f16};
use ndarray::{Array1, Array2, Array4, ArrayD, ArrayViewD, ArrayViewMutD, Axis, Dimension, IxDyn, array};
use num_complex::Complex;
use upsample_rs::engine::simd;
use upsample_rs::ops::conv::{Way, set_way};
use upsample_rs::*;

/// Runs `op` on every layout of `x`: all must agree with each other, bit for bit, on every engine. Returns one result
/// for each level.
fn every_layout<T: Copy, R: PartialEq + std::fmt::Debug>(
    what: &str,
    x: &ArrayD<T>,
    op: impl Fn(&ArrayViewD<'_, T>) -> R,
) -> Vec<R> {
    let run = |layout: Layout| {
        let base = layout.lay(x, x.iter().next().copied().unwrap());
        every_engine(&format!("{what} {layout:?}"), || op(&layout.see(&base)))
    };
    let plain = run(Layout::C);
    for layout in Layout::ALL {
        assert_eq!(run(layout), plain, "{what}: {layout:?}");
    }
    plain
}

fn bits(x: &ArrayD<f32>) -> ArrayD<u32> {
    x.mapv(f32::to_bits)
}

fn dot(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn close(found: &ArrayD<f32>, expected: &ArrayD<f64>, what: &str) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    for (f, e) in found.iter().zip(expected) {
        assert!((f64::from(*f) - e).abs() < 1e-5 * (1.0 + e.abs()), "{what}: {f} for {e}");
    }
}

// -------------------------------------------------------------------------------------- linear maps along each axis

/// `out[.., o, ..] = sum over i of m[o, i] * x[.., i, ..]` along `axis`.
fn along(x: &ArrayD<f64>, axis: usize, m: &Array2<f64>) -> ArrayD<f64> {
    let mut shape = x.shape().to_vec();
    shape[axis] = m.nrows();
    let mut out = ArrayD::zeros(shape);
    for (mut to, weights) in out.axis_iter_mut(Axis(axis)).zip(m.rows()) {
        for (from, w) in x.axis_iter(Axis(axis)).zip(weights) {
            to.scaled_add(*w, &from);
        }
    }
    out
}

/// The maps along the last axes.
fn along_last(x: &ArrayD<f64>, maps: &[Array2<f64>]) -> ArrayD<f64> {
    let first = x.ndim() - maps.len();
    maps.iter().enumerate().fold(x.clone(), |x, (i, m)| along(&x, first + i, m))
}

/// The rule of an interpolation, one axis, as a matrix.
fn resize(p: &InterpolateParams, len: usize, axis: usize) -> Array2<f64> {
    let (out_len, ratio) = match &p.target {
        Target::Size(size) => (size[axis], len as f64 / size[axis] as f64),
        Target::Scale { factors, recompute } => {
            let out_len = (len as f64 * factors[axis]) as usize;
            (out_len, if *recompute { len as f64 / out_len as f64 } else { 1.0 / factors[axis] })
        }
    };
    let mut m = Array2::zeros((out_len, len));
    for o in 0..out_len {
        let at = o as f64;
        let x = match p.align_corners {
            true if out_len == 1 => 0.0,
            true => at * (len - 1) as f64 / (out_len - 1) as f64,
            false => (at + 0.5) * ratio - 0.5,
        };
        let last = len - 1;
        match p.mode {
            Mode::Nearest => m[[o, ((at * ratio + 1e-12) as usize).min(last)]] = 1.0,
            Mode::NearestExact => m[[o, (((at + 0.5) * ratio + 1e-12) as usize).min(last)]] = 1.0,
            Mode::Linear if p.antialias && ratio > 1.0 => {
                let weights: Vec<f64> = (0..len).map(|i| (1.0 - (i as f64 - x).abs() / ratio).max(0.0)).collect();
                let sum: f64 = weights.iter().sum();
                weights.iter().enumerate().for_each(|(i, w)| m[[o, i]] = w / sum);
            }
            Mode::Linear => {
                let x = x.clamp(0.0, last as f64);
                m[[o, x as usize]] += 1.0 - x.fract();
                m[[o, (x as usize + 1).min(last)]] += x.fract();
            }
            Mode::Cubic | Mode::Lanczos => filtered(m.row_mut(o), p, x, if p.antialias { ratio.max(1.0) } else { 1.0 }),
            Mode::Area => {
                let (start, end) = (o * len / out_len, ((o + 1) * len).div_ceil(out_len));
                m.slice_mut(ndarray::s![o, start..end]).fill(1.0 / (end - start) as f64);
            }
        }
    }
    m
}

/// Cubic or lanczos weights about `x`, the filter widened: clamped at the edges, or with antialiasing cut off there.
fn filtered(mut row: ndarray::ArrayViewMut1<'_, f64>, p: &InterpolateParams, x: f64, width: f64) {
    let a = if p.antialias { -0.5 } else { -0.75 };
    let sinc = |d: f64| if d == 0.0 { 1.0 } else { (std::f64::consts::PI * d).sin() / (std::f64::consts::PI * d) };
    let weight = |d: f64| match (p.mode, d.abs()) {
        (Mode::Cubic, d) if d < 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        (Mode::Cubic, d) if d < 2.0 => a * (((d - 5.0) * d + 8.0) * d - 4.0),
        (Mode::Lanczos, d) if d < 3.0 => sinc(d) * sinc(d / 3.0),
        _ => 0.0,
    };
    let last = row.len() as i64 - 1;
    for i in (x - 3.0 * width).floor() as i64 - 1..=(x + 3.0 * width).ceil() as i64 + 1 {
        if !p.antialias || (0..=last).contains(&i) {
            row[i.clamp(0, last) as usize] += weight((i as f64 - x) / width);
        }
    }
    let sum = row.sum();
    row.mapv_inplace(|w| w / sum);
}

fn nails(p: &NailsParams, len: usize, axis: usize) -> Array2<f64> {
    Array2::from_shape_fn((len * p.factor[axis], len), |(o, i)| {
        f64::from(u8::from(o == i * p.factor[axis] + p.offset[axis]))
    })
}

fn turned(maps: &[Array2<f64>]) -> Vec<Array2<f64>> {
    maps.iter().map(|m| m.t().to_owned()).collect()
}

fn size(size: &[usize]) -> Target {
    Target::Size(size.to_vec())
}

fn scale(factors: &[f64], recompute: bool) -> Target {
    Target::Scale { factors: factors.to_vec(), recompute }
}

/// Shapes and targets: ones, odd lengths, rows longer than a vector of any level, whole and broken ratios.
fn resizes() -> Vec<(Vec<usize>, Target)> {
    vec![
        (vec![1], size(&[3])),
        (vec![33], size(&[66])),
        (vec![2, 3, 17], size(&[40])),
        (vec![70], size(&[23])),
        (vec![3, 5, 7], size(&[10, 14])),
        (vec![2, 3, 9, 35], size(&[18, 70])),
        (vec![2, 2, 6, 21], size(&[24, 84])),
        (vec![1, 3, 20, 45], size(&[7, 30])),
        (vec![3, 4, 16], scale(&[1.7, 2.3], false)),
        (vec![3, 4, 16], scale(&[1.7, 2.3], true)),
        (vec![2, 3, 4, 19], size(&[6, 8, 38])),
        (vec![2, 1, 5, 4, 18], size(&[3, 9, 5])),
    ]
}

#[test]
fn interpolation_matches_its_definition() {
    for (shape, target) in resizes() {
        let x = noise(&shape, -8, 17, |v| v as f32);
        let rank = match &target {
            Target::Size(s) => s.len(),
            Target::Scale { factors, .. } => factors.len(),
        };
        for (mode, align_corners, antialias) in [
            (Mode::Nearest, false, false),
            (Mode::NearestExact, false, false),
            (Mode::Linear, false, false),
            (Mode::Linear, true, false),
            (Mode::Linear, false, true),
            (Mode::Cubic, false, false),
            (Mode::Cubic, true, false),
            (Mode::Cubic, false, true),
            (Mode::Lanczos, false, false),
            (Mode::Lanczos, false, true),
            (Mode::Area, false, false),
        ] {
            let p = InterpolateParams { align_corners, antialias, ..InterpolateParams::new(mode, target.clone()) };
            let what = format!("{shape:?} {p:?}");
            let first = shape.len() - rank;
            let maps: Vec<_> = (0..rank).map(|a| resize(&p, shape[first + a], a)).collect();
            let expected = along_last(&x.mapv(f64::from), &maps);
            for found in every_layout(&what, &x, |x| interpolate(x, &p).unwrap()) {
                close(&found, &expected, &what);
            }
            let grad = noise(expected.shape(), -4, 9, |v| v as f32);
            let expected_back = along_last(&grad.mapv(f64::from), &turned(&maps));
            for back in every_layout(&what, &grad, |g| interpolate_backward(g, &shape, &p).unwrap()) {
                close(&back, &expected_back, &what);
                let forward = interpolate(&x.view(), &p).unwrap();
                let (a, b) = (dot(&forward, &grad), dot(&x, &back));
                assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{what}: <Ax,y> = {a}, <x,A'y> = {b}");
            }
            let _engine = Engine::hold(); // no other test changes the level between the two results
            for layout in Layout::ALL {
                let fresh = interpolate(&x.view(), &p).unwrap();
                let filled = layout.filled(fresh.shape(), 7.5, |out| interpolate_into(&x.view(), &p, out).unwrap());
                assert_eq!(bits(&filled), bits(&fresh), "{what} out {layout:?}");
                let fresh = interpolate_backward(&grad.view(), &shape, &p).unwrap();
                let filled =
                    layout.filled(&shape, 7.5, |out| interpolate_backward_into(&grad.view(), &p, out).unwrap());
                assert_eq!(bits(&filled), bits(&fresh), "{what} backward out {layout:?}");
            }
        }
    }
}

#[test]
fn interpolation_with_channels_last() {
    for (shape, out, c) in
        [(vec![2, 3, 9], vec![18], 1), (vec![2, 5, 6, 7], vec![12, 9], 1), (vec![33, 4, 5, 6], vec![8, 10, 11], 0)]
    {
        let x = noise(&shape, -8, 17, |v| v as f32);
        let rank = shape.len() - c - 1;
        assert_eq!(rank, out.len());
        for mode in [Mode::Nearest, Mode::Linear] {
            let first = InterpolateParams::new(mode, size(&out));
            let last = InterpolateParams { channels_last: true, ..first.clone() };
            let results = every_layout("channels_last", &channels_last(&x, rank), |x| interpolate(x, &last).unwrap());
            for found in results {
                let expected = interpolate(&x.view(), &first).unwrap().mapv(f64::from);
                close(&channels_first(&found, rank), &expected, "channels_last");
            }
        }
    }
}

fn copies<T: element::Element + std::fmt::Debug>(make: impl Fn(i64) -> T) {
    let p = InterpolateParams::new(Mode::Nearest, size(&[10, 74]));
    let nails = NailsParams { factor: vec![3, 2], offset: vec![1, 0], channels_last: false };
    let x = noise(&[2, 2, 5, 37], 0, 100, make);
    for found in every_layout("nearest", &x, |x| interpolate_move(x, &p).unwrap()) {
        assert!(found.indexed_iter().all(|(at, v)| *v == x[[at[0], at[1], at[2] / 2, at[3] / 2]]));
    }
    for found in every_layout("nails", &x, |x| bed_of_nails(x, &nails).unwrap()) {
        for (at, v) in found.indexed_iter() {
            let nail = at[2] % 3 == 1 && at[3] % 2 == 0;
            assert_eq!(*v, if nail { x[[at[0], at[1], at[2] / 3, at[3] / 2]] } else { T::default() });
        }
        let back = every_layout("nails back", &found, |g| bed_of_nails_backward(g, x.shape(), &nails).unwrap());
        assert!(back.iter().all(|b| *b == x));
    }
    for layout in Layout::ALL {
        let gap = x[[0, 0, 0, 0]];
        let filled = layout.filled(&[2, 2, 10, 74], gap, |out| interpolate_move_into(&x.view(), &p, out).unwrap());
        assert_eq!(filled, interpolate_move(&x.view(), &p).unwrap());
        let filled = layout.filled(&[2, 2, 15, 74], gap, |out| bed_of_nails_into(&x.view(), &nails, out).unwrap());
        assert_eq!(filled, bed_of_nails(&x.view(), &nails).unwrap());
        let back =
            layout.filled(x.shape(), gap, |out| bed_of_nails_backward_into(&filled.view(), &nails, out).unwrap());
        assert_eq!(back, x);
    }
}

#[test]
fn moves_copy_every_type() {
    copies(|v| v % 2 == 0);
    copies(|v| v as u8);
    copies(|v| f16::from_f32(v as f32));
    copies(|v| v as f32);
    copies(|v| v);
    copies(|v| Complex::new(v as f64, -v as f64));
}

#[test]
fn nails_match_their_definition() {
    for (shape, factor, offset) in
        [(vec![1], vec![4], vec![3]), (vec![3, 17], vec![2], vec![1]), (vec![2, 3, 4, 9], vec![2, 1, 3], vec![1, 0, 2])]
    {
        let x = noise(&shape, 1, 9, |v| v as f32);
        let rank = factor.len();
        let p = NailsParams { factor, offset, channels_last: false };
        let first = shape.len() - rank;
        let maps: Vec<_> = (0..rank).map(|a| nails(&p, shape[first + a], a)).collect();
        let found = on_every_engine("nails", || bed_of_nails(&x.view(), &p).unwrap());
        assert_eq!(found.mapv(f64::from), along_last(&x.mapv(f64::from), &maps));
    }
}

#[test]
fn integers_are_rounded_once_and_saturated() {
    // Doubling in two dimensions: weights are sixteenths, so f64 is exact and ties are ties.
    let p = InterpolateParams::new(Mode::Linear, size(&[14, 38]));
    let rule = |rounding, v: f64| match rounding {
        Rounding::Nearest => (v + 0.5).floor(),
        Rounding::HalfEven => v.round_ties_even(),
        Rounding::Floor => v.floor(),
        Rounding::Trunc => v.trunc(),
    };
    let maps = [resize(&p, 7, 0), resize(&p, 19, 1)];
    let x = noise(&[2, 7, 19], -128, 256, |v| v as i8);
    let exact = along_last(&x.mapv(f64::from), &maps);
    for rounding in [Rounding::Nearest, Rounding::HalfEven, Rounding::Floor, Rounding::Trunc] {
        let p = InterpolateParams { rounding, ..p.clone() };
        let found = on_every_engine("i8", || interpolate(&x.view(), &p).unwrap());
        assert_eq!(found.mapv(f64::from), exact.mapv(|v| rule(rounding, v)), "{rounding:?}");
        for constant in [i32::MIN, -1, 0, 7, i32::MAX] {
            let flat = ArrayD::from_elem(IxDyn(&[35, 35]), constant);
            for (antialias, out) in [(false, [50, 91]), (true, [3, 20])] {
                let p = InterpolateParams { rounding, antialias, ..InterpolateParams::new(Mode::Linear, size(&out)) };
                let found = on_every_engine("constant", || interpolate(&flat.view(), &p).unwrap());
                assert!(found.iter().all(|v| *v == constant), "{rounding:?} {constant} {antialias}");
            }
        }
    }
}

/// Rows so long that they are made part by part.
#[test]
fn long_rows_of_integers_are_doubles_rounded_once() {
    for (shape, out) in [([4, 900, 3], [7, 2000]), ([5, 5000, 1], [3, 2300]), ([9, 4400, 4], [2, 1100])] {
        let x = noise(&shape, 0, 256, |v| v as u8);
        for (mode, antialias) in [
            (Mode::Linear, false),
            (Mode::Linear, true),
            (Mode::Cubic, false),
            (Mode::Lanczos, true),
            (Mode::Area, false),
        ] {
            let p = InterpolateParams { antialias, channels_last: true, ..InterpolateParams::new(mode, size(&out)) };
            let exact = interpolate(&x.mapv(f64::from).view(), &p).unwrap();
            let rounded = exact.mapv(|v| (v + 0.5 + 1e-10).floor().clamp(0.0, 255.0));
            let found = on_every_engine("long rows", || interpolate(&x.view(), &p).unwrap());
            assert!(found.mapv(f64::from) == rounded, "{shape:?} {out:?} {mode:?} {antialias}");
        }
    }
}

#[test]
fn half_types_are_computed_in_f32_and_rounded_once() {
    let p = InterpolateParams::new(Mode::Linear, size(&[9, 50]));
    let wide = noise(&[2, 4, 33], -1000, 2000, |v| v as f32 / 64.0);
    macro_rules! check {
        ($half:ty) => {
            let x = wide.mapv(<$half>::from_f32);
            let halves = every_layout("half", &x, |x| interpolate(x, &p).unwrap());
            let singles = every_engine("single", || interpolate(&x.mapv(|v| v.to_f32()).view(), &p).unwrap());
            for (half, single) in halves.iter().zip(singles) {
                assert_eq!(*half, single.mapv(<$half>::from_f32));
            }
            let pool = PoolParams::new(&[2, 3]);
            let (values, _) = max_pool_with_indices::<_, i32>(&x.view(), &pool).unwrap();
            let single = max_pool(&x.mapv(|v| v.to_f32()).view(), &pool).unwrap();
            assert_eq!(values.mapv(|v| v.to_f32()), single);
            // 2048 + 1 + 1 is 2050 in f16 only if it is summed in f32; bf16 alike at 256.
            let big =
                [2048.0, 1.0, 1.0].map(|v| <$half>::from_f32(v / if stringify!($half) == "f16" { 1.0 } else { 8.0 }));
            let sum: f32 = big.iter().map(|v| v.to_f32()).sum();
            let ones = ArrayD::from_elem(IxDyn(&[3]), <$half>::from_f32(1.0));
            let total = conv(
                &array![big[0], big[1], big[2]].into_dyn().view(),
                &ones.view(),
                None,
                &ConvParams::new(1, Kind::Forward),
            );
            assert_eq!(total.unwrap()[0], <$half>::from_f32(sum));
        };
    }
    check!(f16);
    check!(bf16);
}

#[test]
fn a_neighbour_of_weight_zero_is_not_read() {
    let x = array![1.0_f32, f32::NAN, 3.0].into_dyn();
    let p = InterpolateParams { align_corners: true, ..InterpolateParams::new(Mode::Linear, size(&[5])) };
    let found = on_every_engine("nan", || bits(&interpolate(&x.view(), &p).unwrap()));
    let found = found.mapv(f32::from_bits);
    assert_eq!((found[0], found[4]), (1.0, 3.0));
    assert!([1, 2, 3].iter().all(|&i| found[i].is_nan()));
}

// ------------------------------------------------------------------------------------------------------------ pooling

/// The windows of one axis: the elements of each, and how many places it has, those that are padding included.
type AxisWindows = Vec<(Vec<usize>, usize)>;

/// Windows of `lens` along D, H and W, the last of which are pooled by `axis`, by definition.
fn windows_by_definition(
    lens: [usize; 3],
    rank: usize,
    axis: impl Fn(usize, usize) -> AxisWindows,
) -> [AxisWindows; 3] {
    [0, 1, 2].map(|a| if a < 3 - rank { vec![(vec![0], 1); lens[a]] } else { axis(a + rank - 3, lens[a]) })
}

/// Sliding windows along axis `a` of `len` elements.
fn sliding(p: &PoolParams, a: usize, len: usize) -> AxisWindows {
    let (kernel, stride, dilation) = (p.kernel_size[a], p.stride[a], p.dilation[a]);
    let Padding::Explicit(pad) = p.padding[a] else { panic!("explicit padding") };
    let room = len + pad.before + pad.after - (dilation * (kernel - 1) + 1);
    let mut n = room / stride + 1;
    if p.ceil_mode && !room.is_multiple_of(stride) && n * stride < len + pad.before {
        n += 1;
    }
    let places = |o: usize| (0..kernel).map(move |k| o * stride + k * dilation);
    let inside = |o| places(o).filter_map(|i| i.checked_sub(pad.before)).filter(|&i| i < len).collect();
    (0..n).map(|o| (inside(o), places(o).filter(|&i| i < len + pad.before + pad.after).count())).collect()
}

fn adaptive(p: &AdaptiveParams, a: usize, len: usize) -> AxisWindows {
    let n = p.output_size[a].unwrap_or(len);
    let bin = |o: usize| (o * len / n..((o + 1) * len).div_ceil(n)).collect::<Vec<_>>();
    (0..n).map(|o| (bin(o), bin(o).len())).collect()
}

fn of_pool(x: &Array4<f32>, p: &PoolParams) -> [AxisWindows; 3] {
    let (_, d, h, w) = x.dim();
    windows_by_definition([d, h, w], p.kernel_size.len(), |a, len| sliding(p, a, len))
}

/// Calls `f` with each output position, the elements of its window in row-major order, and its number of places.
fn each_window(x: &Array4<f32>, windows: &[AxisWindows; 3], mut f: impl FnMut([usize; 4], &[[usize; 4]], usize)) {
    let [d, h, w] = windows;
    for (b, od, oh, ow) in ndarray::indices((x.dim().0, d.len(), h.len(), w.len())) {
        let ((di, dn), (hi, hn), (wi, wn)) = (&d[od], &h[oh], &w[ow]);
        let rows = di.iter().flat_map(|i| hi.iter().map(move |j| (*i, *j)));
        let inside: Vec<_> = rows.flat_map(|(i, j)| wi.iter().map(move |k| [b, i, j, *k])).collect();
        f([b, od, oh, ow], &inside, dn * hn * wn);
    }
}

fn out_of(x: &Array4<f32>, [d, h, w]: &[AxisWindows; 3]) -> (usize, usize, usize, usize) {
    (x.dim().0, d.len(), h.len(), w.len())
}

/// Values and indices by definition, on `[blocks, D, H, W]`; `better` than the one before.
fn pool_by_definition(
    x: &Array4<f32>,
    windows: &[AxisWindows; 3],
    better: impl Fn(f32, f32) -> bool,
) -> (Array4<f32>, Array4<i64>) {
    let (_, _, h, w) = x.dim();
    let (mut values, mut indices) = (Array4::zeros(out_of(x, windows)), Array4::from_elem(out_of(x, windows), -1));
    each_window(x, windows, |o, inside, _| {
        let (value, index) = (&mut values[o], &mut indices[o]);
        for &at in inside {
            let v = x[at];
            if *index < 0 || better(v, *value) || (v.is_nan() && !value.is_nan()) {
                (*value, *index) = (v, ((at[1] * h + at[2]) * w + at[3]) as i64);
            }
        }
    });
    (values, indices)
}

fn pool(kernel: &[usize], stride: &[usize], pad: usize, dilation: usize, ceil_mode: bool) -> PoolParams {
    PoolParams {
        stride: stride.to_vec(),
        padding: vec![Pad::both(pad).into(); kernel.len()],
        dilation: vec![dilation; kernel.len()],
        ceil_mode,
        ..PoolParams::new(kernel)
    }
}

fn pools() -> Vec<(Vec<usize>, PoolParams)> {
    vec![
        (vec![1], pool(&[1], &[1], 0, 1, false)),
        (vec![3, 67], pool(&[2], &[2], 0, 1, false)),
        (vec![2, 40], pool(&[5], &[3], 2, 1, true)),
        (vec![2, 3, 16, 66], pool(&[2, 2], &[2, 2], 0, 1, false)),
        (vec![2, 2, 15, 35], pool(&[3, 3], &[2, 2], 1, 1, true)),
        (vec![3, 9, 130], pool(&[3, 3], &[1, 1], 1, 1, false)),
        (vec![2, 17, 40], pool(&[2, 3], &[1, 4], 0, 3, false)),
        (vec![1, 10, 50], pool(&[4, 2], &[5, 7], 1, 1, true)),
        (vec![2, 5, 6, 37], pool(&[2, 2, 2], &[2, 2, 2], 0, 1, false)),
        (vec![2, 7, 8, 19], pool(&[3, 2, 3], &[1, 2, 2], 1, 1, true)),
    ]
}

#[test]
fn max_pool_matches_its_definition() {
    for (shape, p) in pools() {
        let special = [f32::NAN, -0.0, 0.0, f32::NEG_INFINITY, f32::INFINITY, -1.0, 2.0, 2.0, 3.0];
        let plain = noise(&shape, -50, 100, |v| v as f32);
        let odd = noise(&shape, 0, special.len() as u64, |v| special[v as usize]);
        for x in [plain, odd] {
            let what = format!("{shape:?} {p:?}");
            let both = |x: &ArrayViewD<'_, f32>| {
                let (values, indices) = max_pool_with_indices::<_, i64>(x, &p).unwrap();
                let (_, short) = max_pool_with_indices::<_, i32>(x, &p).unwrap();
                assert_eq!(short.mapv(i64::from), indices);
                assert_eq!(max_pool(x, &p).unwrap().mapv(|v| v.is_nan()), values.mapv(|v| v.is_nan()));
                (bits(&values), bits(&max_pool(x, &p).unwrap()), indices)
            };
            let mut results = every_layout(&what, &x, both);
            let (located, alone, indices) = results.pop().unwrap();
            assert!(
                results.iter().all(|r| (&r.0, &r.1, &r.2) == (&located, &alone, &indices)),
                "{what}: levels differ"
            );
            let rank = p.kernel_size.len();
            let x4 = as4(&x, rank);
            let (values, expected) = pool_by_definition(&x4, &of_pool(&x4, &p), |v, held| v > held);
            assert_eq!(as4(&indices, rank), expected, "{what}");
            assert_eq!(as4(&located, rank), values.mapv(f32::to_bits), "{what}: the value at the index");
            assert_eq!(alone, located, "{what}: values alone");
            for layout in Layout::ALL {
                let mut kept = ArrayD::zeros(indices.shape());
                let filled = layout.filled(indices.shape(), 7.0, |out| {
                    max_pool_with_indices_into(&x.view(), &p, out, kept.view_mut()).unwrap();
                });
                assert_eq!((bits(&filled), &kept), (located.clone(), &indices), "{what} out {layout:?}");
                let filled = layout.filled(indices.shape(), 7.0, |out| max_pool_into(&x.view(), &p, out).unwrap());
                assert_eq!(bits(&filled), located, "{what} out {layout:?}");
            }
        }
    }
}

#[test]
fn min_pool_and_adaptive_max_pool_match_their_definition() {
    let special = [f32::NAN, -0.0, 0.0, f32::NEG_INFINITY, f32::INFINITY, -1.0, 2.0, 2.0, 3.0];
    for (shape, p) in pools() {
        let x = noise(&shape, 0, special.len() as u64, |v| special[v as usize]);
        let rank = p.kernel_size.len();
        let x4 = as4(&x, rank);
        let (values, expected) = pool_by_definition(&x4, &of_pool(&x4, &p), |v, held| v < held);
        for (found, indices) in every_layout("min", &x, |x| {
            let (values, indices) = min_pool_with_indices::<_, i64>(x, &p).unwrap();
            assert_eq!(bits(&min_pool(x, &p).unwrap()), bits(&values));
            (bits(&values), indices)
        }) {
            assert_eq!(as4(&found, rank), values.mapv(f32::to_bits), "{shape:?} {p:?}");
            assert_eq!(as4(&indices, rank), expected, "{shape:?} {p:?}");
        }
        let out_shape = min_pool(&x.view(), &p).unwrap().shape().to_vec();
        let filled = Layout::Gaps.filled(&out_shape, 7.0, |out| min_pool_into(&x.view(), &p, out).unwrap());
        assert_eq!(as4(&bits(&filled), rank), values.mapv(f32::to_bits));
    }
    for (shape, p) in adaptives() {
        let x = noise(&shape, 0, special.len() as u64, |v| special[v as usize]);
        let rank = p.output_size.len();
        let x4 = as4(&x, rank);
        let (values, expected) = pool_by_definition(&x4, &of_adaptive(&x4, &p), |v, held| v > held);
        for (found, indices) in every_layout("adaptive", &x, |x| {
            let (values, indices) = adaptive_max_pool_with_indices::<_, i32>(x, &p).unwrap();
            assert_eq!(bits(&adaptive_max_pool(x, &p).unwrap()), bits(&values));
            (bits(&values), indices.mapv(i64::from))
        }) {
            assert_eq!(as4(&found, rank), values.mapv(f32::to_bits), "{shape:?} {p:?}");
            assert_eq!(as4(&indices, rank), expected, "{shape:?} {p:?}");
        }
        let (values, indices) = adaptive_max_pool_with_indices::<_, i64>(&x.view(), &p).unwrap();
        let grad = noise(values.shape(), -9, 19, |v| v as f32);
        let back = adaptive_max_pool_backward(&grad.view(), &indices.view(), &shape, &p).unwrap();
        assert_eq!(back.sum(), grad.sum(), "every gradient goes somewhere");
    }
}

#[test]
fn max_pool_of_other_types_and_channels_last() {
    let p = pool(&[3, 2], &[2, 2], 1, 1, true);
    let last = PoolParams { channels_last: true, ..p.clone() };
    let bytes = noise(&[2, 3, 12, 71], 0, 256, |v| v as u8);
    let expected = max_pool(&bytes.mapv(f32::from).view(), &p).unwrap();
    for found in every_layout("u8", &bytes, |x| max_pool(x, &p).unwrap()) {
        assert_eq!(found.mapv(f32::from), expected);
    }
    for (values, indices) in
        every_layout("u8", &channels_last(&bytes, 2), |x| max_pool_with_indices::<_, i32>(x, &last).unwrap())
    {
        assert_eq!(channels_first(&values, 2).mapv(f32::from), expected);
        let (_, same) = max_pool_with_indices::<_, i32>(&bytes.view(), &p).unwrap();
        assert_eq!(channels_first(&indices, 2), same);
    }
    let truth = bytes.mapv(|v| v > 200);
    for found in every_layout("bool", &truth, |x| max_pool(x, &p).unwrap()) {
        assert_eq!(found, expected.mapv(|v| v > 200.0));
    }
}

#[test]
fn max_pool_backward_is_the_adjoint() {
    for (shape, p) in pools() {
        let x = noise(&shape, -50, 100, |v| v as f32);
        let (values, indices) = max_pool_with_indices::<_, i64>(&x.view(), &p).unwrap();
        let grad = noise(values.shape(), -9, 19, |v| v as f32);
        let (rank, mut expected) =
            (p.kernel_size.len(), as4(&ArrayD::<f32>::zeros(shape.clone()), p.kernel_size.len()));
        let (h, w) = (expected.dim().2, expected.dim().3);
        for ((at, i), g) in as4(&indices, rank).indexed_iter().zip(&as4(&grad, rank)) {
            let i = *i as usize;
            expected[[at.0, i / w / h, i / w % h, i % w]] += g;
        }
        for found in every_layout("grad", &grad, |g| max_pool_backward(g, &indices.view(), &shape, &p).unwrap()) {
            assert_eq!(as4(&found, rank), expected, "{shape:?} {p:?}");
            assert_eq!(dot(&x, &found), dot(&values, &grad), "{shape:?} {p:?}");
        }
        for found in every_layout("indices", &indices, |i| max_pool_backward(&grad.view(), i, &shape, &p).unwrap()) {
            assert_eq!(as4(&found, rank), expected);
        }
        let layout = Layout::Reversed;
        let filled = layout.filled(&shape, 7.0, |out| {
            max_pool_backward_into(&grad.view(), &indices.view(), &p, out).unwrap();
        });
        assert_eq!(as4(&filled, rank), expected);
    }
}

fn adaptives() -> Vec<(Vec<usize>, AdaptiveParams)> {
    let some = |lens: &[usize]| AdaptiveParams::new(lens);
    vec![
        (vec![1], some(&[3])),
        (vec![2, 70], some(&[9])),
        (vec![2, 3, 7, 35], some(&[7, 7])),
        (vec![3, 5, 11], some(&[12, 40])),
        (vec![2, 4, 6, 19], AdaptiveParams { output_size: vec![Some(1), None, Some(4)], ..some(&[]) }),
    ]
}

fn of_adaptive(x: &Array4<f32>, p: &AdaptiveParams) -> [AxisWindows; 3] {
    let (_, d, h, w) = x.dim();
    windows_by_definition([d, h, w], p.output_size.len(), |a, len| adaptive(p, a, len))
}

// ----------------------------------------------------------------------------------------------------- means and norms

/// Sums of windows over their divisors, and the gradient of that for `grad`.
fn means_by_definition(
    x: &Array4<f32>,
    windows: &[AxisWindows; 3],
    divisor: Divisor,
    grad: &Array4<f32>,
) -> (Array4<f64>, Array4<f64>) {
    let (mut means, mut back) = (Array4::zeros(out_of(x, windows)), Array4::zeros(x.dim()));
    each_window(x, windows, |o, inside, places| {
        let by = match divisor {
            Divisor::Window => inside.len() as f64,
            Divisor::WindowAndPadding => places as f64,
            Divisor::Fixed(n) => n,
        };
        for &at in inside {
            means[o] += f64::from(x[at]) / by;
            back[at] += f64::from(grad[o]) / by;
        }
    });
    (means, back)
}

/// Norms of windows, and the gradient of that for `grad`.
fn norms_by_definition(
    x: &Array4<f32>,
    windows: &[AxisWindows; 3],
    p: f64,
    grad: &Array4<f32>,
) -> (Array4<f64>, Array4<f64>) {
    let (mut norms, mut back) = (Array4::zeros(out_of(x, windows)), Array4::zeros(x.dim()));
    each_window(x, windows, |o, inside, _| {
        let of = |at: [usize; 4]| f64::from(x[at].abs());
        let largest = inside.iter().map(|&at| of(at)).fold(0.0, f64::max);
        let sum: f64 = inside.iter().map(|&at| of(at).powf(p)).sum();
        norms[o] = if p.is_infinite() { largest } else { sum.powf(1.0 / p) };
        let first = inside.iter().find(|&&at| of(at) == largest);
        for &at in inside {
            let slope = match p.is_infinite() {
                true => f64::from(u8::from(Some(&at) == first)),
                false => (of(at) / norms[o]).powf(p - 1.0),
            };
            if x[at] != 0.0 {
                back[at] += f64::from(grad[o]) * f64::from(x[at].signum()) * slope;
            }
        }
    });
    (norms, back)
}

/// [`pools`], and windows long enough for every way there is to sum them and their gradients.
fn long_pools() -> Vec<(Vec<usize>, PoolParams)> {
    let mut all = pools();
    all.extend([
        (vec![3, 90], pool(&[31], &[1], 15, 1, false)),
        (vec![150], pool(&[40], &[3], 7, 1, true)),
        (vec![2, 37, 41], pool(&[13, 11], &[1, 1], 5, 1, false)),
        (vec![40, 30], pool(&[17, 20], &[2, 2], 3, 1, true)),
        (vec![30, 33], pool(&[7, 9], &[1, 1], 4, 3, false)),
        (vec![9, 9, 20], pool(&[5, 5, 5], &[1, 2, 1], 2, 1, false)),
        (vec![12, 200], pool(&[2, 2], &[7, 90], 0, 1, false)),
        (vec![4, 20, 12], pool(&[2, 6, 3], &[2, 1, 2], 0, 1, false)),
    ]);
    all
}

fn check_linear_pool(
    what: &str,
    (x, rank): (&ArrayD<f32>, usize),
    by_definition: impl Fn(&Array4<f32>, &Array4<f32>) -> (Array4<f64>, Array4<f64>),
    forward: impl Fn(&ArrayViewD<'_, f32>) -> ArrayD<f32>,
    backward: impl Fn(&ArrayViewD<'_, f32>, &ArrayViewD<'_, f32>) -> ArrayD<f32>,
) {
    let found = every_layout(what, x, &forward);
    let grad = noise(found[0].shape(), 1, 9, |v| v as f32);
    let (means, back) = by_definition(&as4(x, rank), &as4(&grad, rank));
    let shaped = |a: Array4<f64>, shape: &[usize]| ArrayD::from_shape_vec(IxDyn(shape), a.iter().copied().collect());
    let (means, back) = (shaped(means, grad.shape()).unwrap(), shaped(back, x.shape()).unwrap());
    found.iter().for_each(|found| close(found, &means, what));
    for found in every_layout(what, &grad, |g| backward(g, &x.view())) {
        close(&found, &back, &format!("{what} backward"));
    }
    for found in every_layout(what, x, |x| backward(&grad.view(), x)) {
        close(&found, &back, &format!("{what} backward of x"));
    }
}

#[test]
fn averages_match_their_definition() {
    for (shape, p) in long_pools() {
        let x = noise(&shape, -50, 100, |v| v as f32);
        let rank = p.kernel_size.len();
        for divisor in [Divisor::Window, Divisor::WindowAndPadding, Divisor::Fixed(3.0)] {
            let p = AvgPoolParams { windows: p.clone(), divisor, rounding: Rounding::Nearest };
            let what = format!("{shape:?} {p:?}");
            check_linear_pool(
                &what,
                (&x, rank),
                |x, grad| means_by_definition(x, &of_pool(x, &p.windows), divisor, grad),
                |x| avg_pool(x, &p).unwrap(),
                |g, x| avg_pool_backward(g, x.shape(), &p).unwrap(),
            );
            let _engine = Engine::hold();
            let fresh = avg_pool(&x.view(), &p).unwrap();
            let back = avg_pool_backward(&fresh.view(), &shape, &p).unwrap();
            for layout in Layout::ALL {
                let filled = layout.filled(fresh.shape(), 7.5, |out| avg_pool_into(&x.view(), &p, out).unwrap());
                assert_eq!(bits(&filled), bits(&fresh), "{what} out {layout:?}");
                let filled = layout.filled(&shape, 7.5, |out| avg_pool_backward_into(&fresh.view(), &p, out).unwrap());
                assert_eq!(bits(&filled), bits(&back), "{what} backward out {layout:?}");
            }
        }
    }
}

#[test]
fn adaptive_averages_match_their_definition() {
    for (shape, p) in adaptives() {
        let x = noise(&shape, -50, 100, |v| v as f32);
        check_linear_pool(
            &format!("{shape:?} {p:?}"),
            (&x, p.output_size.len()),
            |x, grad| means_by_definition(x, &of_adaptive(x, &p), Divisor::Window, grad),
            |x| adaptive_avg_pool(x, &p).unwrap(),
            |g, x| adaptive_avg_pool_backward(g, x.shape(), &p).unwrap(),
        );
        let _engine = Engine::hold();
        let fresh = adaptive_avg_pool(&x.view(), &p).unwrap();
        let layout = Layout::Gaps;
        let filled = layout.filled(fresh.shape(), 7.5, |out| adaptive_avg_pool_into(&x.view(), &p, out).unwrap());
        assert_eq!(bits(&filled), bits(&fresh));
        let back = adaptive_avg_pool_backward(&fresh.view(), &shape, &p).unwrap();
        let filled = layout.filled(&shape, 7.5, |out| adaptive_avg_pool_backward_into(&fresh.view(), &p, out).unwrap());
        assert_eq!(bits(&filled), bits(&back));
    }
}

#[test]
fn norms_match_their_definition() {
    for (shape, p) in long_pools() {
        let x = noise(&shape, -50, 100, |v| v as f32 / 16.0);
        let rank = p.kernel_size.len();
        for norm_type in [0.5, 1.0, 2.0, 3.0, f64::INFINITY] {
            let p = LpPoolParams { windows: p.clone(), norm_type, rounding: Rounding::Nearest };
            let what = format!("{shape:?} {p:?}");
            check_linear_pool(
                &what,
                (&x, rank),
                |x, grad| norms_by_definition(x, &of_pool(x, &p.windows), norm_type, grad),
                |x| lp_pool(x, &p).unwrap(),
                |g, x| lp_pool_backward(g, x, &p).unwrap(),
            );
            let _engine = Engine::hold();
            let fresh = lp_pool(&x.view(), &p).unwrap();
            let back = lp_pool_backward(&fresh.view(), &x.view(), &p).unwrap();
            for layout in Layout::ALL {
                let filled = layout.filled(fresh.shape(), 7.5, |out| lp_pool_into(&x.view(), &p, out).unwrap());
                assert_eq!(bits(&filled), bits(&fresh), "{what} out {layout:?}");
                let filled = layout.filled(&shape, 7.5, |out| {
                    lp_pool_backward_into(&fresh.view(), &x.view(), &p, out).unwrap();
                });
                assert_eq!(bits(&filled), bits(&back), "{what} backward out {layout:?}");
            }
        }
    }
}

#[test]
fn means_and_norms_with_channels_last() {
    let first = AvgPoolParams { windows: pool(&[3, 9], &[2, 1], 1, 1, true), ..AvgPoolParams::new(&[]) };
    let last = AvgPoolParams { windows: PoolParams { channels_last: true, ..first.windows.clone() }, ..first.clone() };
    let norms = |p: &AvgPoolParams| LpPoolParams { windows: p.windows.clone(), ..LpPoolParams::new(2.0, &[]) };
    let x = noise(&[2, 5, 12, 31], -50, 100, |v| v as f32);
    let expected = avg_pool(&x.view(), &first).unwrap();
    let lasts = channels_last(&x, 2);
    for found in every_layout("avg", &lasts, |x| avg_pool(x, &last).unwrap()) {
        close(&channels_first(&found, 2), &expected.mapv(f64::from), "avg");
    }
    let grads = channels_last(&expected, 2);
    let back = avg_pool_backward(&expected.view(), x.shape(), &first).unwrap().mapv(f64::from);
    for found in every_layout("avg back", &grads, |g| avg_pool_backward(g, lasts.shape(), &last).unwrap()) {
        close(&channels_first(&found, 2), &back, "avg back");
    }
    let back = lp_pool_backward(&expected.view(), &x.view(), &norms(&first)).unwrap().mapv(f64::from);
    for found in every_layout("lp back", &grads, |g| lp_pool_backward(g, &lasts.view(), &norms(&last)).unwrap()) {
        close(&channels_first(&found, 2), &back, "lp back");
    }
}

#[test]
fn means_of_integers_are_rounded_once_and_saturated() {
    let windows = pool(&[2, 3], &[2, 3], 0, 1, false);
    let x = noise(&[2, 8, 33], -128, 256, |v| v as i8);
    let exact = ArrayD::from_shape_fn(IxDyn(&[2, 4, 11]), |at| {
        let sum = |i: usize| i64::from(x[[at[0], at[1] * 2 + i / 3, at[2] * 3 + i % 3]]);
        (0..6).map(sum).sum::<i64>()
    });
    for (rounding, rule) in [
        (Rounding::Nearest, (|s| (2 * s + 6).div_euclid(12)) as fn(i64) -> i64),
        (Rounding::HalfEven, |s| (s as f64 / 6.0).round_ties_even() as i64),
        (Rounding::Floor, |s| s.div_euclid(6)),
        (Rounding::Trunc, |s| s / 6),
    ] {
        let p = AvgPoolParams { windows: windows.clone(), divisor: Divisor::Window, rounding };
        let found = on_every_engine("means of i8", || avg_pool(&x.view(), &p).unwrap());
        assert_eq!(found.mapv(i64::from), exact.mapv(rule), "{rounding:?}");
    }
    let p = AvgPoolParams { windows, divisor: Divisor::Fixed(1.0), rounding: Rounding::Nearest };
    let found = avg_pool(&x.view(), &p).unwrap();
    assert_eq!(found.mapv(i64::from), exact.mapv(|s| s.clamp(-128, 127)));
}

#[test]
fn gradients_of_windows_that_do_not_read_an_element_do_not_reach_it() {
    let windows = pool(&[2, 2], &[1, 1], 0, 2, false);
    let p = AvgPoolParams { windows, ..AvgPoolParams::new(&[]) };
    let mut grad = ArrayD::<f32>::zeros(vec![5, 40]);
    grad[[2, 20]] = f32::NAN;
    let back = on_every_engine("nan", || bits(&avg_pool_backward(&grad.view(), &[7, 42], &p).unwrap()));
    for (at, v) in back.indexed_iter() {
        let read = [2, 4].contains(&at[0]) && [20, 22].contains(&at[1]);
        assert_eq!(f32::from_bits(*v).is_nan(), read, "{at:?}");
    }
    // An infinite element that no window reads has a gradient too: zero.
    let x = array![3.0_f32, 4.0, f32::INFINITY].into_dyn();
    let grad = array![10.0_f32].into_dyn();
    for norm_type in [1.0, 2.0, 3.0, f64::INFINITY] {
        let back = lp_pool_backward(&grad.view(), &x.view(), &LpPoolParams::new(norm_type, &[2])).unwrap();
        assert_eq!(back[2], 0.0, "{norm_type}");
    }
    let zeros = ArrayD::<f32>::zeros(vec![4]);
    let back = lp_pool_backward(&array![1.0_f32, 1.0].into_dyn().view(), &zeros.view(), &LpPoolParams::new(2.0, &[2]));
    assert_eq!(back.unwrap(), zeros, "a window of zeros");
}

#[test]
fn poolings_refuse_what_makes_no_sense() {
    let x = ArrayD::<f32>::zeros(vec![4, 4]);
    let refused = |error: Error, text: &str| assert!(error.to_string().starts_with(text), "{error}");
    let p = AvgPoolParams { divisor: Divisor::Fixed(0.0), ..AvgPoolParams::new(&[2, 2]) };
    refused(avg_pool(&x.view(), &p).unwrap_err(), "avg_pool: divisor_override = 0: must be at least 1");
    for p in [0.0, -1.0, f64::NAN] {
        let error = lp_pool(&x.view(), &LpPoolParams::new(p, &[2, 2])).unwrap_err();
        refused(error, &format!("lp_pool: norm_type = {p}: must be above 0"));
    }
    let p = AvgPoolParams::new(&[2, 2]);
    let error = avg_pool_backward(&x.view(), &[4, 4], &p).unwrap_err();
    refused(error, "avg_pool_backward: grad_output.shape = (4, 4): must be (2, 2)");
    let error = lp_pool_backward(&x.view(), &x.view(), &LpPoolParams::new(2.0, &[2, 2])).unwrap_err();
    refused(error, "lp_pool_backward: grad_output.shape = (4, 4): must be (2, 2)");
    let error = adaptive_avg_pool(&x.view(), &AdaptiveParams::new(&[0, 2])).unwrap_err();
    refused(error, "adaptive_avg_pool: output_size[0] = 0: must be at least 1");
    let error = adaptive_max_pool(&x.view(), &AdaptiveParams::new(&[])).unwrap_err();
    refused(error, "adaptive_max_pool: output_size has 0 entries");
    let empty = ArrayD::<f32>::zeros(vec![0, 4, 4]);
    assert_eq!(avg_pool(&empty.view(), &p).unwrap().shape(), [0, 2, 2]);
    assert_eq!(avg_pool_backward(&avg_pool(&empty.view(), &p).unwrap().view(), &[0, 4, 4], &p).unwrap(), empty);
}

#[test]
fn max_unpool_by_every_rule() {
    for (shape, rank) in [(vec![2, 33], 1), (vec![2, 3, 5, 18], 2), (vec![2, 3, 4, 9], 3)] {
        let kernel = vec![2; rank];
        let x = noise(&shape, -5, 11, |v| if v == 0 { -0.0 } else { v as f32 });
        let block: usize = shape[shape.len() - rank..].iter().map(|n| n * 2).product();
        let indices = noise(&shape, 0, block as u64 / 3, |i| i * 2);
        let base = UnpoolParams::new(&kernel);
        for duplicates in [Duplicates::Last, Duplicates::First, Duplicates::Sum, Duplicates::Max] {
            let p = UnpoolParams { duplicates, ..base.clone() };
            let what = format!("{shape:?} {duplicates:?}");
            let (x4, i4) = (as4(&x, rank), as4(&indices, rank));
            let mut expected = vec![vec![None::<f32>; block]; x4.dim().0];
            for ((at, v), i) in x4.indexed_iter().zip(&i4) {
                let place = &mut expected[at.0][*i as usize];
                *place = Some(match (*place, duplicates) {
                    (None, Duplicates::Sum) => 0.0 + v,
                    (None, _) | (_, Duplicates::Last) => *v,
                    (Some(old), Duplicates::First) => old,
                    (Some(old), Duplicates::Sum) => old + v,
                    (Some(old), _) => {
                        if *v > old {
                            *v
                        } else {
                            old
                        }
                    }
                });
            }
            let expected: Vec<u32> = expected.concat().into_iter().map(|v| v.unwrap_or(0.0).to_bits()).collect();
            let flat = |y: ArrayD<f32>| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            for found in every_layout(&what, &x, |x| max_unpool(x, &indices.view(), &p).unwrap()) {
                assert_eq!(flat(found), expected, "{what}");
            }
            let short = indices.mapv(|i| i as i32);
            for found in every_layout(&what, &short, |i| max_unpool(&x.view(), i, &p).unwrap()) {
                assert_eq!(flat(found), expected, "{what}");
            }
            let out_shape = max_unpool(&x.view(), &indices.view(), &p).unwrap().shape().to_vec();
            for layout in Layout::ALL {
                let filled = layout.filled(&out_shape, 7.0, |out| {
                    max_unpool_into(&x.view(), &indices.view(), &p, out).unwrap();
                });
                assert_eq!(flat(filled), expected, "{what} out {layout:?}");
            }
            // The gradient gathers.
            let grad = noise(&out_shape, -9, 19, |v| v as f32);
            let g4 = as4(&grad, rank);
            let (h, w) = (g4.dim().2, g4.dim().3);
            let gather: Vec<f32> = i4
                .indexed_iter()
                .map(|(at, i)| g4[[at.0, *i as usize / w / h, *i as usize / w % h, *i as usize % w]])
                .collect();
            for back in every_layout(&what, &grad, |g| max_unpool_backward(g, &indices.view(), &p).unwrap()) {
                assert_eq!(back.iter().copied().collect::<Vec<_>>(), gather, "{what}");
            }
            let filled = Layout::Fortran.filled(&shape, 7.0, |out| {
                max_unpool_backward_into(&grad.view(), &indices.view(), &p, out).unwrap();
            });
            assert_eq!(filled.iter().copied().collect::<Vec<_>>(), gather, "{what}");
        }
    }
}

#[test]
fn unpooling_reverses_pooling_of_any_type() {
    let p = PoolParams::new(&[2, 2]);
    let x = noise(&[2, 3, 8, 34], 1, 200, |v| v as u8);
    let (values, indices) = max_pool_with_indices::<_, i64>(&x.view(), &p).unwrap();
    let unpool = UnpoolParams { duplicates: Duplicates::Error, ..UnpoolParams::new(&[2, 2]) };
    let y = on_every_engine("unpool", || max_unpool_move(&values.view(), &indices.view(), &unpool).unwrap());
    assert_eq!(max_pool(&y.view(), &p).unwrap(), values);
    assert_eq!(y.iter().filter(|v| **v != 0).count(), values.len());
    assert!(y.iter().zip(&x).all(|(y, x)| *y == 0 || y == x));
    let mut out = ArrayD::zeros(x.shape());
    max_unpool_move_into(&values.view(), &indices.view(), &unpool, out.view_mut()).unwrap();
    assert_eq!(out, y);
    let mut twice = indices.clone();
    twice[[1, 2, 0, 1]] = twice[[1, 2, 0, 0]];
    let error = max_unpool(&values.view(), &twice.view(), &unpool).unwrap_err();
    assert!(error.to_string().starts_with("max_unpool: indices[1, 2, 0, 1]"), "{error}");
}

// -------------------------------------------------------------------------------------------------------- convolution

/// One case: shapes of `x` and `weight` and the parameters.
type Case = (Vec<usize>, Vec<usize>, ConvParams);

fn params(rank: usize, stride: usize, pad: usize, dilation: usize, groups: usize) -> ConvParams {
    ConvParams {
        stride: vec![stride; rank],
        padding: vec![Padding::Explicit(Pad { before: pad, after: pad / 2 }); rank],
        dilation: vec![dilation; rank],
        groups,
        ..ConvParams::new(rank, Kind::Forward)
    }
}

fn transposed(p: ConvParams, extra: usize) -> ConvParams {
    let output_padding = vec![extra; p.stride.len()];
    ConvParams { kind: Kind::Transposed { output_padding, output_size: None }, ..p }
}

fn convolutions() -> Vec<Case> {
    vec![
        (vec![3], vec![2], params(1, 1, 0, 1, 1)),
        (vec![2, 3, 70], vec![5, 3, 3], params(1, 1, 1, 1, 1)),
        (vec![3, 40], vec![4, 3, 5], params(1, 3, 2, 2, 1)),
        (vec![2, 4, 7, 35], vec![9, 4, 3, 3], params(2, 1, 1, 1, 1)),
        (vec![1, 6, 9, 21], vec![4, 3, 3, 2], params(2, 2, 2, 1, 2)),
        (vec![2, 4, 8, 9], vec![4, 1, 3, 3], params(2, 1, 1, 2, 4)),
        (vec![1, 2, 4, 5, 18], vec![3, 2, 2, 3, 3], params(3, 2, 1, 1, 1)),
        (vec![5, 17], vec![3, 4], transposed(params(2, 2, 1, 1, 1), 1)),
        (vec![2, 3, 5, 19], vec![3, 9, 4, 4], transposed(params(2, 2, 1, 1, 1), 0)),
        (vec![1, 4, 6, 10], vec![4, 3, 3, 3], transposed(params(2, 3, 2, 2, 2), 2)),
        (vec![2, 20], vec![2, 3, 2], transposed(params(1, 3, 0, 1, 1), 0)),
        (vec![1, 2, 3, 4, 9], vec![2, 2, 2, 2, 3], transposed(params(3, 2, 0, 1, 1), 1)),
        // One input channel and rows of a vector or more: of one plane or several, in pairs or not, woven or not.
        (vec![2, 3, 6, 37], vec![6, 1, 3, 3], params(2, 1, 1, 1, 3)),
        (vec![1, 4, 9, 70], vec![4, 1, 3, 3], params(2, 2, 1, 1, 4)),
        (vec![1, 2, 3, 6, 34], vec![2, 1, 2, 3, 3], params(3, 1, 1, 2, 2)),
        (vec![900], vec![5], params(1, 1, 4, 2, 1)),
        (vec![1, 3, 5, 33], vec![3, 1, 4, 4], transposed(params(2, 2, 1, 1, 3), 0)),
        (vec![1, 500], vec![1, 2, 7], transposed(params(1, 3, 2, 1, 1), 1)),
        (vec![2, 2, 40], vec![2, 1, 12], transposed(params(1, 10, 0, 1, 2), 0)),
    ]
}

/// By definition: each product of an input element and a weight lands on one output element. `out` comes with the bias.
fn conv_by_definition(x: &ArrayD<f32>, weight: &ArrayD<f32>, p: &ConvParams, mut out: ArrayD<f32>) -> ArrayD<f32> {
    let rank = p.stride.len();
    let bare = x.ndim() == rank;
    let batched = x.ndim() == rank + 2;
    let channel = usize::from(batched);
    let (first, wfirst) = (if bare { 0 } else { channel + 1 }, if bare { 0 } else { 2 });
    let forward = p.kind == Kind::Forward;
    let channels = |a: &ArrayD<f32>| if bare { 1 } else { a.shape()[channel] };
    let (ins, outs) = (channels(x) / p.groups, channels(&out) / p.groups);
    let pad = |a: usize| if let Padding::Explicit(pad) = p.padding[a] { pad.before } else { unreachable!() };
    for (wat, w) in weight.indexed_iter() {
        // The small side is x for a transposed convolution, out for a convolution: large = small*stride + tap*dilation - pad.
        let small_shape = if forward { out.shape() } else { x.shape() }.to_vec();
        for small in ndarray::indices(small_shape) {
            let mut large = small.slice().to_vec();
            let mut inside = true;
            for a in 0..rank {
                let place = small[first + a] * p.stride[a] + wat[wfirst + a] * p.dilation[a];
                let len = if forward { x.shape() } else { out.shape() }[first + a];
                match place.checked_sub(pad(a)).filter(|&i| i < len) {
                    Some(i) => large[first + a] = i,
                    None => inside = false,
                }
            }
            if !inside {
                continue;
            }
            if !bare {
                // The weight's first channel axis is the small side's; its second is the large side's, within the group.
                if small[channel] != wat[0] {
                    continue;
                }
                let (of_small, of_large) = if forward { (outs, ins) } else { (ins, outs) };
                large[channel] = wat[0] / of_small * of_large + wat[1];
            }
            if forward {
                out[small] += w * x[&large[..]];
            } else {
                out[&large[..]] += w * x[small];
            }
        }
    }
    out
}

#[test]
fn convolution_matches_its_definition() {
    // (For the whole process, while other tests run: their sums are exact as well.)
    for way in [Way::Winograd, Way::Direct, Way::Auto] {
        set_way(Some(way));
        convolutions_match_their_definition(way);
    }
}

fn convolutions_match_their_definition(way: Way) {
    for (shape, weight, p) in convolutions() {
        let what = format!("{way:?} {shape:?} {weight:?} {p:?}");
        // Small whole numbers: every sum is exact, in f32 as in i32.
        let (x, w) = (noise(&shape, -4, 9, |v| v as f32), noise(&weight, -3, 7, |v| v as f32));
        let plain = conv(&x.view(), &w.view(), None, &p).unwrap();
        let bare = shape.len() == p.stride.len();
        let channel = shape.len() - p.stride.len() - usize::from(!bare);
        let channels = if bare { 1 } else { plain.shape()[channel] };
        let bias = noise(&[channels], 1, 9, |v| v as f32).into_dimensionality::<ndarray::Ix1>().unwrap();
        let mut start = ArrayD::zeros(plain.shape());
        if bare {
            start.fill(bias[0]);
        } else {
            start.axis_iter_mut(Axis(channel)).zip(&bias).for_each(|(mut s, b)| s.fill(*b));
        }
        let expected = conv_by_definition(&x, &w, &p, start);
        for found in every_layout(&what, &x, |x| conv(x, &w.view(), Some(&bias.view()), &p).unwrap()) {
            assert_eq!(found, expected, "{what}");
        }
        for found in every_layout(&what, &w, |w| conv(&x.view(), w, Some(&bias.view()), &p).unwrap()) {
            assert_eq!(found, expected, "{what} weight");
        }
        let prepared = prepare_conv(&w.view(), Some(&bias.view()), &p).unwrap();
        for found in every_layout(&what, &x, |x| conv_prepared(&prepared, x).unwrap()) {
            assert_eq!(found, expected, "{what} prepared");
        }
        let whole = |a: &ArrayD<f32>| a.mapv(|v| (v as i32).wrapping_mul(1 << 28));
        let wrapped =
            on_every_engine(&what, || conv(&whole(&x).view(), &w.mapv(|v| v as i32).view(), None, &p).unwrap());
        assert_eq!(wrapped, whole(&plain), "{what}: integers wrap");
        for layout in Layout::ALL {
            let filled = layout.filled(expected.shape(), 7.0, |out| {
                conv_into(&x.view(), &w.view(), Some(&bias.view()), &p, out).unwrap();
            });
            assert_eq!(filled, expected, "{what} out {layout:?}");
            let filled = layout.filled(expected.shape(), 7.0, |out| {
                conv_prepared_into(&prepared, &x.view(), out).unwrap();
            });
            assert_eq!(filled, expected, "{what} prepared, out {layout:?}");
        }
        if !bare {
            let last = ConvParams { channels_last: true, ..p.clone() };
            let x = channels_last(&x, p.stride.len());
            let found = on_every_engine(&what, || conv(&x.view(), &w.view(), Some(&bias.view()), &last).unwrap());
            assert_eq!(channels_first(&found, p.stride.len()), expected, "{what} channels_last");
        }
    }
}

#[test]
fn convolution_gradients_are_adjoints() {
    for (shape, weight, p) in convolutions() {
        let what = format!("{shape:?} {weight:?} {p:?}");
        let (x, w) = (noise(&shape, -4, 9, |v| v as f32), noise(&weight, -3, 7, |v| v as f32));
        let y = conv(&x.view(), &w.view(), None, &p).unwrap();
        let grad = noise(y.shape(), -4, 9, |v| v as f32);
        let run = |g: &ArrayViewD<'_, f32>| {
            let grads = conv_backward(g, &x.view(), &w.view(), &p).unwrap();
            (grads.x, grads.weight, grads.bias)
        };
        let mut results = every_layout(&what, &grad, run);
        let (gx, gw, gb) = results.pop().unwrap();
        assert!(results.iter().all(|r| *r == (gx.clone(), gw.clone(), gb.clone())), "{what}: levels differ");
        assert_eq!(dot(&x, &gx), dot(&y, &grad), "{what}: x");
        assert_eq!(dot(&w, &gw), dot(&y, &grad), "{what}: weight");
        // Against other inputs too, for one inner product does not settle a vector.
        for seed in 1..8 {
            let other = |a: &ArrayD<f32>, n: u64| {
                let mut noise = common::Noise::new(seed);
                a.mapv(|_| noise.below(n) as f32 - 2.0)
            };
            let (x2, w2) = (other(&x, 7), other(&w, 5));
            assert_eq!(dot(&x2, &gx), dot(&conv(&x2.view(), &w.view(), None, &p).unwrap(), &grad), "{what}: x");
            assert_eq!(dot(&w2, &gw), dot(&conv(&x.view(), &w2.view(), None, &p).unwrap(), &grad), "{what}: weight");
        }
        let bare = shape.len() == p.stride.len();
        let channel = shape.len() - p.stride.len() - usize::from(!bare);
        let sums: Vec<f32> =
            if bare { vec![grad.sum()] } else { grad.axis_iter(Axis(channel)).map(|g| g.sum()).collect() };
        assert_eq!(gb.iter().copied().collect::<Vec<_>>(), sums, "{what}: bias");
    }
}

#[test]
fn convolution_of_complex_numbers_and_same_padding() {
    let x = noise(&[2, 33], -4, 9, |v| Complex::new(v as f64, (v * v) as f64));
    let w = noise(&[3, 2, 4], -4, 9, |v| Complex::new(1.0, v as f64));
    for (padding, before) in [(Padding::Same, 1), (Padding::SameLower, 2)] {
        let p = ConvParams { padding: vec![padding], ..ConvParams::new(1, Kind::Forward) };
        for found in every_layout("complex", &x, |x| conv(x, &w.view(), None, &p).unwrap()) {
            for (at, v) in found.indexed_iter() {
                let taps = (0..2).flat_map(|c| (0..4).map(move |k| (c, k)));
                let sum: Complex<f64> = taps
                    .filter_map(|(c, k)| (at[1] + k).checked_sub(before).filter(|&i| i < 33).map(|i| (c, k, i)))
                    .map(|(c, k, i)| w[[at[0], c, k]] * x[[c, i]])
                    .sum();
                assert_eq!(*v, sum);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------------ large results

/// Memory for an array of this shape whose first element begins a cache line, and the place of that element.
fn aligned<T: Copy + Default>(shape: &[usize]) -> (Array1<T>, usize) {
    let line = 64 / size_of::<T>();
    let base = Array1::from_elem(shape.iter().product::<usize>() + line, T::default());
    let from = base.as_ptr().align_offset(64).min(line);
    (base, from)
}

/// Fills an aligned array of this shape, and one that is not, by `fill` as a whole; both must equal `part` of each batch
/// entry, which is small enough to be stored through the caches.
fn whole_equals_parts<T: element::Element + std::fmt::Debug>(
    what: &str,
    shape: &[usize],
    fill: impl Fn(ArrayViewMutD<'_, T>),
    part: impl Fn(usize) -> ArrayD<T>,
) {
    let (mut base, from) = aligned::<T>(shape);
    let count = shape.iter().product::<usize>();
    assert!(count * size_of::<T>() > 32 << 20, "{what}: not large");
    let _engine = Engine::hold();
    for isa in simd::Isa::ALL.into_iter().filter(|isa| *isa <= simd::detected()) {
        simd::force(Some(isa));
        for (threads, offset) in [(1, from), (2, from), (1, (from + 1) % 8)] {
            set_num_threads(threads).unwrap();
            base.fill(T::default());
            let view = base.slice_mut(ndarray::s![offset..offset + count]);
            let mut view = view.into_shape_with_order(IxDyn(shape)).unwrap();
            fill(view.view_mut());
            for (i, found) in view.outer_iter().enumerate() {
                assert!(found == part(i).index_axis(Axis(0), 0), "{what}: {isa:?}, {threads} threads, offset {offset}");
            }
        }
    }
}

#[test]
fn large_results_equal_small_ones() {
    let x = noise(&[3, 5, 200, 208], -100, 200, |v| v as f32);
    let entry = |i: usize| x.slice_axis(Axis(0), (i..i + 1).into());
    for mode in [Mode::Nearest, Mode::Linear] {
        let p = InterpolateParams::new(mode, size(&[800, 832]));
        whole_equals_parts(
            "interpolate",
            &[3, 5, 800, 832],
            |out| interpolate_into(&x.view(), &p, out).unwrap(),
            |i| interpolate(&entry(i), &p).unwrap(),
        );
    }
    // Bytes are converted before they are streamed; some linear sums are in doubt and taken again.
    let bytes = noise(&[3, 600, 640, 3], 0, 256, |v| v as u8);
    let part = |i: usize| bytes.slice_axis(Axis(0), (i..i + 1).into());
    for mode in [Mode::Nearest, Mode::Linear] {
        let p = InterpolateParams { channels_last: true, ..InterpolateParams::new(mode, size(&[1800, 2112])) };
        whole_equals_parts(
            "interpolate bytes",
            &[3, 1800, 2112, 3],
            |out| interpolate_into(&bytes.view(), &p, out).unwrap(),
            |i| interpolate(&part(i), &p).unwrap(),
        );
    }
    let nails = NailsParams { factor: vec![4, 4], offset: vec![1, 2], channels_last: false };
    whole_equals_parts(
        "nails",
        &[3, 5, 800, 832],
        |out| bed_of_nails_into(&x.view(), &nails, out).unwrap(),
        |i| bed_of_nails(&entry(i), &nails).unwrap(),
    );
    // Indices within their own windows but for one, which takes the general way.
    let size = [3, 5, 400, 416];
    let indices = ArrayD::from_shape_fn(IxDyn(&size), |at| ((at[2] * 2 + at[3] % 2) * 832 + at[3] * 2) as i64);
    let mut strayed = indices.clone();
    strayed[[1, 2, 3, 4]] = 7;
    let values = noise(&size, -100, 200, |v| v as f32);
    let unpool = UnpoolParams::new(&[2, 2]);
    for indices in [indices, strayed] {
        let part = |i: usize| (i..i + 1).into();
        whole_equals_parts(
            "max_unpool",
            &[3, 5, 800, 832],
            |out| max_unpool_into(&values.view(), &indices.view(), &unpool, out).unwrap(),
            |i| {
                let indices = indices.slice_axis(Axis(0), part(i));
                max_unpool(&values.slice_axis(Axis(0), part(i)), &indices, &unpool).unwrap()
            },
        );
    }
}

// ---------------------------------------------------------------------------------------------------------- refusals

#[test]
fn refusals_name_function_parameter_and_limit() {
    let x = ArrayD::<f32>::zeros(vec![2, 3, 4, 4]);
    let x = x.view();
    let zeros = |shape: &[usize]| ArrayD::<f32>::zeros(shape);
    let indices = |shape: &[usize], i: i64| ArrayD::from_elem(shape, i);
    let linear = |s: &[usize]| InterpolateParams::new(Mode::Linear, size(s));
    let nails = |f: &[usize], o: &[usize]| NailsParams { factor: f.to_vec(), offset: o.to_vec(), channels_last: false };
    let conv1 = ConvParams::new(1, Kind::Forward);
    let kernel = zeros(&[2]);
    let out = |shape: &[usize]| ArrayD::<f32>::zeros(shape);
    let sized = Kind::Transposed { output_padding: vec![1], output_size: Some(vec![5]) };
    let unpool = UnpoolParams::new(&[2, 2]);
    let grad_of = |shape: &[usize], i: i64| {
        max_pool_backward(&zeros(shape).view(), &indices(shape, i).view(), x.shape(), &PoolParams::new(&[2, 2]))
    };
    let cases: Vec<(Error, &str)> = vec![
        (interpolate(&x, &linear(&[])).unwrap_err(), "interpolate: size has 0 entries"),
        (interpolate(&x, &linear(&[1; 4])).unwrap_err(), "interpolate: size has 4 entries"),
        (interpolate(&x, &linear(&[0, 2])).unwrap_err(), "interpolate: size[0] = 0"),
        (
            interpolate_into(&x, &linear(&[8, 8]), out(&[2, 3, 8, 9]).view_mut()).unwrap_err(),
            "interpolate: out.shape = (2, 3, 8, 9)",
        ),
        (interpolate_move(&x, &linear(&[8, 8])).unwrap_err(), "interpolate_move: mode = Linear"),
        (
            interpolate_backward(&x, &[2, 3, 2, 3], &linear(&[4, 5])).unwrap_err(),
            "interpolate_backward: grad_output.shape = (2, 3, 4, 4)",
        ),
        (bed_of_nails(&x, &nails(&[2, 2], &[0])).unwrap_err(), "bed_of_nails: offset has 1 entries"),
        (bed_of_nails(&x, &nails(&[2, 2], &[0, 2])).unwrap_err(), "bed_of_nails: offset[1] = 2"),
        (bed_of_nails(&x, &nails(&[usize::MAX], &[0])).unwrap_err(), "bed_of_nails: factor[0]"),
        (
            bed_of_nails_backward(&x, &[2, 3, 2, 3], &nails(&[2, 2], &[0, 0])).unwrap_err(),
            "bed_of_nails_backward: grad_output",
        ),
        (max_pool(&x, &PoolParams::new(&[5, 1])).unwrap_err(), "max_pool: kernel_size[0] = 5 exceeds axis H"),
        (
            max_pool(&x, &PoolParams { padding: vec![], ..PoolParams::new(&[2, 2]) }).unwrap_err(),
            "max_pool: padding has 0 entries",
        ),
        (
            max_pool(&x, &PoolParams { stride: vec![1], ..PoolParams::new(&[2, 2]) }).unwrap_err(),
            "max_pool: stride has 1 entries",
        ),
        (max_pool(&x, &pool(&[2, 2], &[1, 1], 2, 1, false)).unwrap_err(), "max_pool: padding[0] = 2"),
        (max_pool(&zeros(&[3, 0]).view(), &PoolParams::new(&[1])).unwrap_err(), "max_pool: axis W = 0"),
        (max_pool(&zeros(&[4]).view(), &PoolParams::new(&[2, 2])).unwrap_err(), "max_pool: x.ndim = 1"),
        (max_pool(&zeros(&[1; 33]).view(), &PoolParams::new(&[1])).unwrap_err(), "max_pool: x.ndim = 33"),
        (grad_of(&[2, 3, 2, 2], 16).unwrap_err(), "max_pool_backward: indices[0, 0, 0, 0] = 16: must be from 0 to 15"),
        (grad_of(&[2, 3, 2, 2], -1).unwrap_err(), "max_pool_backward: indices[0, 0, 0, 0] = -1"),
        (grad_of(&[2, 3, 2, 1], 0).unwrap_err(), "max_pool_backward: grad_output.shape = (2, 3, 2, 1)"),
        (
            max_unpool(&x, &indices(&[2, 3, 4, 3], 0).view(), &unpool).unwrap_err(),
            "max_unpool: indices.shape = (2, 3, 4, 3)",
        ),
        (
            max_unpool(&x, &indices(&[2, 3, 4, 4], 64).view(), &unpool).unwrap_err(),
            "max_unpool: indices[0, 0, 0, 0] = 64",
        ),
        (
            max_unpool(
                &x,
                &indices(&[2, 3, 4, 4], 0).view(),
                &UnpoolParams { output_size: Some(vec![8, 10]), ..unpool.clone() },
            )
            .unwrap_err(),
            "max_unpool: output_size[1] = 10",
        ),
        (
            max_unpool_move(
                &x,
                &indices(&[2, 3, 4, 4], 0).view(),
                &UnpoolParams { duplicates: Duplicates::Sum, ..unpool.clone() },
            )
            .unwrap_err(),
            "max_unpool_move: duplicates = Sum",
        ),
        (
            max_unpool_backward(&x, &indices(&[2, 3, 4, 4], 0).view(), &unpool).unwrap_err(),
            "max_unpool_backward: grad_output.shape",
        ),
        (conv(&x, &kernel.view(), None, &conv1).unwrap_err(), "conv: x.ndim = 4"),
        (
            conv(&kernel.view(), &kernel.view(), Some(&array![1.0, 2.0].view()), &conv1).unwrap_err(),
            "conv: bias.shape = (2,)",
        ),
        (
            conv(&kernel.view(), &kernel.view(), None, &ConvParams { dilation: vec![], ..conv1.clone() }).unwrap_err(),
            "conv: dilation has 0",
        ),
        (
            conv(&kernel.view(), &kernel.view(), None, &ConvParams::new(1, sized)).unwrap_err(),
            "conv: output_padding = [1]",
        ),
        (
            conv(&kernel.view(), &kernel.view(), None, &ConvParams::new(0, Kind::Forward)).unwrap_err(),
            "conv: stride has 0",
        ),
        (
            conv_backward(&kernel.view(), &kernel.view(), &kernel.view(), &conv1).unwrap_err(),
            "conv_backward: grad_output.shape = (2,)",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.to_string().starts_with(expected), "{error} / {expected}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    assert!(matches!(grad_of(&[2, 3, 2, 2], 16), Err(Error::Index(_))));
}

#[test]
fn an_element_by_itself_is_all_there_is() {
    let x = ArrayD::<i8>::from_elem(vec![1], -33);
    for len in [2, 17, 40] {
        let found = on_every_engine("lanczos", || {
            interpolate(&x.view(), &InterpolateParams::new(Mode::Lanczos, size(&[len]))).unwrap()
        });
        assert!(found.iter().all(|&v| v == -33), "{found}");
    }
}

#[test]
fn memory_that_cannot_be_had_is_refused() {
    let x = ArrayD::<f32>::zeros(vec![1 << 10]);
    let huge = InterpolateParams::new(Mode::Linear, size(&[1 << 58]));
    let memory = |r: Result<ArrayD<f32>>, op: &str| {
        let error = r.unwrap_err();
        assert!(matches!(error, Error::Memory(_)) && error.to_string().starts_with(op), "{error}");
    };
    memory(interpolate(&x.view(), &huge), "interpolate: weights of an axis = ");
    let nails = NailsParams { factor: vec![1 << 48], offset: vec![0], channels_last: false };
    memory(bed_of_nails(&x.view(), &nails), "bed_of_nails: cannot allocate");
    let too_long = InterpolateParams::new(Mode::Linear, size(&[1 << 62]));
    assert!(matches!(interpolate(&x.view(), &too_long), Err(Error::Value(_))));
}

#[test]
fn an_empty_batch_gives_an_empty_result() {
    for shape in [vec![0, 3, 4, 4], vec![2, 0, 4, 4]] {
        let x = ArrayD::<f32>::zeros(shape.clone());
        let expected = |h: usize| vec![shape[0], shape[1], h, h];
        let p = InterpolateParams::new(Mode::Linear, size(&[8, 8]));
        let y = interpolate(&x.view(), &p).unwrap();
        assert_eq!(y.shape(), expected(8));
        assert_eq!(interpolate_backward(&y.view(), &shape, &p).unwrap().shape(), shape);
        let (values, indices) = max_pool_with_indices::<_, i64>(&x.view(), &PoolParams::new(&[2, 2])).unwrap();
        assert_eq!((values.shape(), indices.shape()), (&expected(2)[..], &expected(2)[..]));
        let y = max_unpool(&values.view(), &indices.view(), &UnpoolParams::new(&[2, 2])).unwrap();
        assert_eq!(y.shape(), shape);
        let grad = max_pool_backward(&values.view(), &indices.view(), &shape, &PoolParams::new(&[2, 2])).unwrap();
        assert_eq!(grad.shape(), shape);
        assert_eq!(
            max_unpool_backward(&y.view(), &indices.view(), &UnpoolParams::new(&[2, 2])).unwrap().shape(),
            values.shape()
        );
        let nails = NailsParams { factor: vec![2, 2], offset: vec![0, 0], channels_last: false };
        assert_eq!(bed_of_nails(&x.view(), &nails).unwrap().shape(), expected(8));
    }
    let weight = ArrayD::<f32>::ones(vec![5, 3, 3, 3]);
    let x = ArrayD::<f32>::zeros(vec![0, 3, 4, 4]);
    let p = ConvParams::new(2, Kind::Forward);
    let y = conv(&x.view(), &weight.view(), None, &p).unwrap();
    assert_eq!(y.shape(), [0, 5, 2, 2]);
    let grads = conv_backward(&y.view(), &x.view(), &weight.view(), &p).unwrap();
    assert_eq!((grads.x.shape(), grads.weight.sum(), grads.bias.sum()), (&[0, 3, 4, 4][..], 0.0, 0.0));
}
