//! Shuffles, unfold and fold on arrays against their definitions: every memory layout, instruction set and number of
//! threads, element sizes of 1 to 16 bytes, and refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Layout, channels_last, noise, on_every_engine};
use half::f16;
use ndarray::{ArrayD, ArrayViewD, IxDyn, array};
use num_complex::Complex;
use upsample_rs::*;

/// The element at `(c, h, w)` of what `depth_to_space` makes of `(B*C, H, W)`.
fn source(at: &[usize], channels: usize, p: &BlockParams) -> [usize; 3] {
    let (b0, b1) = (p.block[0], p.block[1]);
    let (i, j) = (at[1] % b0, at[2] % b1);
    let channel = match p.mode {
        BlockMode::Dcr => (i * b1 + j) * channels + at[0],
        BlockMode::Crd => (at[0] * b0 + i) * b1 + j,
    };
    [channel, at[1] / b0, at[2] / b1]
}

fn shuffles<T: element::Element + std::fmt::Debug>(make: impl Fn(i64) -> T) {
    for (block, mode, [channels, height, width]) in [
        ([2, 2], BlockMode::Crd, [3, 3, 70]),
        ([1, 3], BlockMode::Crd, [2, 2, 67]),
        ([3, 4], BlockMode::Dcr, [1, 2, 33]),
        ([2, 8], BlockMode::Dcr, [3, 2, 65]),
        ([5, 9], BlockMode::Crd, [2, 1, 40]),
        ([4, 4], BlockMode::Crd, [20, 2, 3]),
    ] {
        let p = BlockParams { mode, ..BlockParams::new(&block) };
        let x = noise(&[channels * block[0] * block[1], height, width], 0, 100, &make);
        let wanted = ArrayD::from_shape_fn(IxDyn(&[channels, height * block[0], width * block[1]]), |at| {
            x[source(&[at[0], at[1], at[2]], channels, &p)]
        });
        let last = BlockParams { channels_last: true, ..p.clone() };
        for layout in Layout::ALL {
            let base = layout.lay(&x, x[[0, 0, 0]]);
            let seen: ArrayViewD<'_, T> = layout.see(&base);
            let found = on_every_engine("depth_to_space", || depth_to_space(&seen, &p).unwrap());
            assert_eq!(found, wanted, "{block:?} {layout:?}");
            let filled =
                layout.filled(wanted.shape(), x[[0, 0, 0]], |out| depth_to_space_into(&seen, &p, out).unwrap());
            assert_eq!(filled, wanted, "{block:?} into {layout:?}");
            let base = layout.lay(&wanted, x[[0, 0, 0]]);
            let back = on_every_engine("space_to_depth", || space_to_depth(&layout.see(&base), &p).unwrap());
            assert_eq!(back, x, "{block:?} {layout:?}");
            let filled =
                layout.filled(x.shape(), x[[0, 0, 0]], |out| space_to_depth_into(&layout.see(&base), &p, out).unwrap());
            assert_eq!(filled, x, "{block:?} into {layout:?}");
        }
        let (deep, wide) = (channels_last(&x, 2), channels_last(&wanted, 2));
        assert_eq!(on_every_engine("last", || depth_to_space(&deep.view(), &last).unwrap()), wide, "{block:?}");
        assert_eq!(on_every_engine("last", || space_to_depth(&wide.view(), &last).unwrap()), deep, "{block:?}");
    }
}

#[test]
fn shuffles_of_every_size_match_their_definition() {
    shuffles(|v| v as u8);
    shuffles(|v| f16::from_f32(v as f32));
    shuffles(|v| v as f32);
    shuffles(|v| v);
    shuffles(|v| Complex::new(v as f64, -v as f64));
}

#[test]
fn channels_are_dealt_out() {
    for (groups, each, rest) in [(2, 5, 33), (3, 70, 1), (4, 64, 2), (8, 9, 3), (1, 4, 4), (7, 1, 5)] {
        let x = noise(&[2, groups * each, rest], 0, 100, |v| v as f32);
        let wanted =
            ArrayD::from_shape_fn(IxDyn(x.shape()), |at| x[[at[0], at[1] % groups * each + at[1] / groups, at[2]]]);
        assert_eq!(on_every_engine("first", || channel_shuffle(&x.view(), groups, false).unwrap()), wanted);
        let (x, wanted) = (channels_last(&x, 1), channels_last(&wanted, 1));
        assert_eq!(on_every_engine("last", || channel_shuffle(&x.view(), groups, true).unwrap()), wanted);
        assert_eq!(channel_shuffle(&wanted.view(), each, true).unwrap(), x);
    }
}

/// The place along an axis that element `k` of window `l` has, if it is on it.
fn place(p: &FoldParams, axis: usize, len: usize, k: usize, l: usize) -> Option<usize> {
    (l * p.stride[axis] + k * p.dilation[axis]).checked_sub(p.padding[axis].before).filter(|&i| i < len)
}

#[test]
fn columns_match_their_definition() {
    let pad = |before, after| Pad { before, after };
    for (shape, kernel, dilation, stride, padding) in [
        ([3, 9, 40], [3, 3], [1, 1], [1, 1], [pad(1, 1), pad(1, 1)]),
        ([2, 8, 71], [2, 4], [2, 1], [3, 2], [pad(0, 3), pad(2, 0)]),
        ([1, 6, 35], [3, 5], [1, 1], [3, 5], [pad(0, 0), pad(0, 0)]),
        ([2, 5, 50], [4, 2], [1, 3], [2, 9], [pad(5, 5), pad(0, 0)]),
    ] {
        let p = FoldParams {
            dilation: dilation.to_vec(),
            padding: padding.to_vec(),
            stride: stride.to_vec(),
            ..FoldParams::new(&kernel)
        };
        let count = |a: usize| {
            let room = shape[a + 1] + padding[a].before + padding[a].after - dilation[a] * (kernel[a] - 1) - 1;
            room / stride[a] + 1
        };
        let (across, taps) = (count(1), kernel[0] * kernel[1]);
        let x = noise(&shape, -50, 100, |v| v as f32);
        let mut image = ArrayD::<f32>::zeros(IxDyn(&shape));
        let mut columns = ArrayD::zeros(IxDyn(&[shape[0] * taps, count(0) * across]));
        for c in 0..shape[0] {
            for (k, l) in (0..taps).flat_map(|k| (0..count(0) * across).map(move |l| (k, l))) {
                let h = place(&p, 0, shape[1], k / kernel[1], l / across);
                let w = place(&p, 1, shape[2], k % kernel[1], l % across);
                if let Some((h, w)) = h.zip(w) {
                    columns[[c * taps + k, l]] = x[[c, h, w]];
                    image[[c, h, w]] += x[[c, h, w]];
                }
            }
        }
        let last = FoldParams { channels_last: true, ..p.clone() };
        for layout in Layout::ALL {
            let base = layout.lay(&x, 0.0);
            assert_eq!(on_every_engine("unfold", || unfold(&layout.see(&base), &p).unwrap()), columns, "{layout:?}");
            let filled = layout.filled(columns.shape(), 7.0, |out| unfold_into(&layout.see(&base), &p, out).unwrap());
            assert_eq!(filled, columns, "into {layout:?}");
            let base = layout.lay(&columns, 0.0);
            let folded = on_every_engine("fold", || fold(&layout.see(&base), &shape[1..], &p).unwrap());
            assert_eq!(folded, image, "{layout:?}"); // sums of small whole numbers are exact
            let filled = layout.filled(&shape, 7.0, |out| fold_into(&layout.see(&base), &shape[1..], &p, out).unwrap());
            assert_eq!(filled, image, "into {layout:?}");
        }
        let (deep, wide) = (channels_last(&x, 2), channels_last(&columns, 1));
        assert_eq!(unfold(&deep.view(), &last).unwrap(), wide);
        assert_eq!(fold(&wide.view(), &shape[1..], &last).unwrap(), channels_last(&image, 2));
        assert_eq!(unfold_backward(&columns.view(), &shape, &p).unwrap(), image);
    }
}

#[test]
fn integers_are_added_exactly_and_saturated_once() {
    let columns = array![[127_i8], [127], [-128], [-100]].into_dyn();
    let p = FoldParams { stride: vec![1], padding: vec![Pad::both(3)], ..FoldParams::new(&[4]) };
    let one = |x: &ArrayD<i8>| fold(&x.view(), &[1], &p).unwrap();
    let mut wide = ArrayD::zeros(IxDyn(&[4, 4]));
    for k in 0..4 {
        wide[[k, 3 - k]] = columns[[k, 0]];
    }
    assert_eq!(one(&wide), array![[26_i8]].into_dyn());
    assert_eq!(one(&wide.mapv(|v| v.max(0))), array![[127_i8]].into_dyn());
}

#[test]
fn refusals_name_what_does_not_fit() {
    let x = ArrayD::<f32>::zeros(IxDyn(&[2, 3, 4, 6]));
    let refused = |r: Result<ArrayD<f32>>| r.unwrap_err().to_string();
    for (line, words) in [
        (refused(depth_to_space(&x.view(), &BlockParams::new(&[2, 2]))), "x.shape[1] = 3"),
        (refused(depth_to_space(&x.view(), &BlockParams::new(&[0, 2]))), "block[0] = 0"),
        (refused(depth_to_space(&x.view(), &BlockParams::new(&[usize::MAX, 2]))), "2**63"),
        (refused(space_to_depth(&x.view(), &BlockParams::new(&[3, 2]))), "axis H"),
        (refused(space_to_depth(&x.view(), &BlockParams::new(&[2, 2, 2, 2]))), "4 spatial axes"),
        (refused(channel_shuffle(&x.view(), 2, false)), "groups = 2"),
        (refused(unfold(&x.view(), &FoldParams::new(&[9, 1]))), "kernel_size[0] = 9"),
        (refused(unfold(&x.view(), &FoldParams { stride: vec![1], ..FoldParams::new(&[1, 1]) })), "stride"),
        (refused(fold(&x.view(), &[3, 3], &FoldParams::new(&[2, 2]))), "x.shape[3] = 6"),
        (refused(fold(&x.view(), &[], &FoldParams::new(&[]))), "spatial axes"),
    ] {
        assert!(line.contains(words), "{line}");
    }
}
