//! Fractional max pooling on arrays against its definition, in every memory layout and on every engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Layout, as4, channels_first, channels_last, noise, on_every_engine};
use half::f16;
use ndarray::{Array1, ArrayD, IxDyn, array};
use upsample_rs::layout::View;
use upsample_rs::*;

fn sized(kernel: &[usize], out: &[usize]) -> FractionalParams {
    FractionalParams { kernel_size: kernel.to_vec(), output: OutputLens::Size(out.to_vec()), channels_last: false }
}

/// Some numbers of 1/8s, one for each plane and axis.
fn samples(planes: &[usize], rank: usize) -> ArrayD<f64> {
    noise(&[planes, &[rank]].concat(), 0, 8, |v| v as f64 / 8.0)
}

/// Values and positions by the rule, window after window.
fn reference(x: &ArrayD<i32>, kernel: &[usize], out: &[usize], samples: &ArrayD<f64>) -> (Vec<i32>, Vec<i64>) {
    let rank = kernel.len();
    let x = as4(x, rank);
    let (planes, d, h, w) = x.dim();
    let three = |v: &[usize]| [&vec![1; 3 - rank][..], v].concat();
    let (kernel, out) = (three(kernel), three(out));
    let start = |plane: usize, axis: usize, o: usize| {
        let (len, out) = ([d, h, w][axis], out[axis]);
        if o + 1 == out {
            return len - kernel[axis];
        }
        let place = if rank == 3 { axis } else { 2 - axis };
        let u = samples.as_slice().unwrap()[plane * rank + place];
        let step = (len - kernel[axis]) as f64 / (out - 1) as f64;
        ((o as f64 + u) * step) as usize - (u * step) as usize
    };
    let (mut values, mut positions) = (Vec::new(), Vec::new());
    for (plane, od, oh, ow) in ndarray::indices((planes, out[0], out[1], out[2])) {
        let mut held: Option<(i32, i64)> = None;
        for (i, j, k) in ndarray::indices((kernel[0], kernel[1], kernel[2])) {
            let (z, y, c) = (start(plane, 0, od) + i, start(plane, 1, oh) + j, start(plane, 2, ow) + k);
            let v = x[[plane, z, y, c]];
            if held.is_none_or(|(best, _)| v > best) {
                held = Some((v, ((z * h + y) * w + c) as i64));
            }
        }
        let (v, at) = held.unwrap();
        values.push(v);
        positions.push(at);
    }
    (values, positions)
}

#[test]
fn forward_matches_the_definition() {
    let cases: [(&[usize], &[usize], &[usize]); 6] = [
        (&[2, 3, 9, 40], &[2, 2], &[6, 28]),
        (&[70, 33], &[3, 1], &[1, 33]),
        (&[3, 5, 9000], &[2, 3], &[4, 6000]),
        (&[2, 2, 20_000], &[2, 5], &[1, 3]),
        (&[2, 3, 6, 7, 20], &[2, 1, 3], &[4, 7, 11]),
        (&[4, 5, 6], &[4, 5, 6], &[1, 1, 1]),
    ];
    for (shape, kernel, out) in cases {
        let (x, rank) = (noise(shape, -9, 19, |v| v as i32), kernel.len());
        let u = samples(&shape[..shape.len() - rank], rank);
        let (values, positions) = reference(&x, kernel, out, &u);
        let p = sized(kernel, out);
        for layout in Layout::ALL {
            let base = layout.lay(&x, 99);
            let (found, at) = on_every_engine(&format!("{shape:?} {layout:?}"), || {
                let x = layout.see(&base);
                let alone = fractional_max_pool(&x, &p, (&u.view()).into()).unwrap();
                let (found, at) = fractional_max_pool_with_indices::<_, i32>(&x, &p, (&u.view()).into()).unwrap();
                assert_eq!(alone, found);
                (found, at)
            });
            assert_eq!(found.iter().copied().collect::<Vec<_>>(), values, "{shape:?} {layout:?}");
            assert_eq!(at.iter().map(|&i| i64::from(i)).collect::<Vec<_>>(), positions, "{shape:?} {layout:?}");
            let (mut v, mut i) = (layout.lay(&found, 99), layout.lay(&at, 99));
            let (to, places) = (layout.see_mut(&mut v), layout.see_mut(&mut i));
            fractional_max_pool_with_indices_into(&x.view(), &p, (&u.view()).into(), to, places).unwrap();
            assert_eq!((layout.see(&v), layout.see(&i)), (found.view(), at.view()));
            let filled = layout.filled(found.shape(), 99, |to| {
                fractional_max_pool_into(&x.view(), &p, (&u.view()).into(), to).unwrap();
            });
            assert_eq!(filled, found);
        }
    }
}

#[test]
fn both_layouts_and_every_machine_see_the_same_numbers() {
    let x = noise(&[2, 5, 12, 13], -100, 200, |v| v as f32);
    let p = sized(&[2, 2], &[8, 9]);
    let first = fractional_max_pool(&x.view(), &p, Samples::Seed(3)).unwrap();
    let last = FractionalParams { channels_last: true, ..p };
    let moved = fractional_max_pool(&channels_last(&x, 2).view(), &last, 3.into()).unwrap();
    assert_eq!(channels_first(&moved, 2), first);
    let halves = fractional_max_pool(&x.mapv(f16::from_f32).view(), &sized(&[2, 2], &[8, 9]), 3.into()).unwrap();
    assert_eq!(halves.mapv(f16::to_f32), first);
    // The first numbers of SplitMix64, in doubles: for another seed they place other windows.
    let numbers = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
    let planes = Array1::from_iter(numbers.map(|z| (z >> 11) as f64 / (1_u64 << 53) as f64)).into_dyn();
    let (cube, p) = (noise(&[9, 9, 9], 0, 1000, |v| v), sized(&[1, 1, 1], &[6, 7, 5]));
    let given = fractional_max_pool(&cube.view(), &p, (&planes.view()).into()).unwrap();
    assert_eq!(fractional_max_pool(&cube.view(), &p, 1_234_567.into()).unwrap(), given);
}

#[test]
fn a_ratio_rounds_down() {
    let x = noise(&[10, 7], 0, 50, |v| v);
    let p = FractionalParams { output: OutputLens::Ratio(vec![0.39, 0.5]), ..sized(&[2, 2], &[]) };
    assert_eq!(fractional_max_pool(&x.view(), &p, Samples::Seed(0)).unwrap().shape(), [3, 3]);
}

#[test]
fn gradients_go_to_the_maxima() {
    let p = sized(&[2, 2], &[1, 2]);
    let indices = array![[4_i64, 4]].into_dyn();
    let grad = array![[0.5_f32, 2.0]].into_dyn();
    let want = array![[0.0, 0.0, 0.0], [0.0, 2.5, 0.0]].into_dyn();
    let found = fractional_max_pool_backward(&grad.view(), &indices.view(), &[2, 3], &p).unwrap();
    assert_eq!(found, want);
    for layout in Layout::ALL {
        let filled = layout.filled(&[2, 3], 9.0, |to| {
            fractional_max_pool_backward_into(&grad.view(), &indices.view(), &p, to).unwrap();
        });
        assert_eq!(filled, want);
    }
    let stray = array![[4_i64, 6]].into_dyn();
    let refused = fractional_max_pool_backward(&grad.view(), &stray.view(), &[2, 3], &p).unwrap_err();
    assert!(matches!(refused, Error::Index(_)), "{refused}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = ArrayD::<f32>::zeros(IxDyn(&[3, 6, 7]));
    let refused = |p: &FractionalParams, samples: Samples<'_>, text: &str| {
        let line = fractional_max_pool(&x.view(), p, samples).unwrap_err().to_string();
        assert_eq!(line, format!("fractional_max_pool: {text}"));
    };
    let seeded = |p: FractionalParams, text: &str| refused(&p, Samples::Seed(1), text);
    let ratio = |r: f64| FractionalParams { output: OutputLens::Ratio(vec![r; 2]), ..sized(&[2, 2], &[]) };
    seeded(sized(&[2], &[2]), "kernel_size has 1 entries: must have 2 or 3, one for each spatial axis");
    seeded(sized(&[2, 2], &[2]), "output_size has 1 entries: must have 2, one for each spatial axis");
    seeded(sized(&[2, 0], &[2, 2]), "kernel_size[1] = 0: must be at least 1");
    seeded(sized(&[2, 8], &[2, 2]), "kernel_size[1] = 8 exceeds axis W: 7 elements");
    let huge = usize::MAX;
    for out in [0, 6, huge] {
        let text =
            format!("output_size[0] = {out}: must be from 1 to 5, for kernel_size[0] = 2 and axis H of 6 elements");
        seeded(sized(&[2, 2], &[out, 2]), &text);
    }
    seeded(sized(&[2, huge], &[2, 2]), &format!("kernel_size[1] = {huge} exceeds axis W: 7 elements"));
    for r in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        seeded(ratio(r), &format!("output_ratio[0] = {r}: must be above 0 and below 1"));
    }
    let text =
        "output_ratio[0] = 0.1: gives 0 windows, must be from 1 to 5, for kernel_size[0] = 2 and axis H of 6 elements";
    seeded(ratio(0.1), text);
    let p = sized(&[2, 2], &[3, 3]);
    let flat = ArrayD::<f64>::zeros(IxDyn(&[2]));
    refused(&p, (&flat.view()).into(), "random_samples.shape = (2,): must be (3, 2)");
    let mut u = ArrayD::<f64>::zeros(IxDyn(&[3, 2]));
    for bad in [1.0, -0.25, f64::NAN] {
        u[[2, 1]] = bad;
        let text = format!("random_samples[2, 1] = {bad}: must be at least 0 and below 1");
        refused(&p, Samples::Given(View::from(&u.view())), &text);
    }
    let mut out = ArrayD::<f32>::zeros(IxDyn(&[3, 3, 4]));
    assert!(fractional_max_pool_into(&x.view(), &p, Samples::Seed(1), out.view_mut()).is_err());
    let none = ArrayD::<f32>::zeros(IxDyn(&[0, 6, 7]));
    assert_eq!(fractional_max_pool(&none.view(), &p, Samples::Seed(1)).unwrap().shape(), [0, 3, 3]);
}
