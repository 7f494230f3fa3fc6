//! Sampling at points on arrays against its definition, in every memory layout and on every engine.
//!
//! Axes have lengths of powers of two and points lie on quarters of elements, so all sums are exact.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Layout, channels_first, channels_last, noise, on_every_engine};
use half::f16;
use ndarray::{ArrayD, Dimension, IxDyn, array};
use upsample_rs::*;

/// An array, points in and around it, and the points' places in quarters of elements.
fn problem(rank: usize) -> (ArrayD<f32>, ArrayD<f64>, ArrayD<i64>) {
    let (lens, outs) = ([2, 4, 8], [3, 5, 70]);
    let x = noise(&[&[2, 5], &lens[3 - rank..]].concat(), -9, 19, |v| v as f32);
    let places = noise(&[&[2], &outs[3 - rank..], &[rank]].concat(), -20, 70, |v| v);
    let mut points = places.mapv(|p| p as f64);
    for (i, c) in points.iter_mut().enumerate() {
        *c = (2.0 * (*c / 4.0) + 1.0) / lens[2 - i % rank] as f64 - 1.0;
    }
    (x, points, places)
}

/// What a place reads along an axis: elements and weights in quarters.
fn taps(place: i64, len: i64, outside: Outside) -> Vec<(i64, i64)> {
    let last = 4 * (len - 1);
    let place = match outside {
        Outside::Zeros => place,
        Outside::Border => place.clamp(0, last),
        Outside::Reflection => {
            let p = (place + 2).rem_euclid(8 * len);
            (p.min(8 * len - p) - 2).clamp(0, last)
        }
    };
    let low = place.div_euclid(4);
    let t = place - 4 * low;
    let inside = |&(at, weight): &(i64, i64)| weight > 0 && at >= 0 && at < len;
    [(low, 4 - t), (low + 1, t)].into_iter().filter(inside).collect()
}

/// Everything a point reads: indices and weight.
fn corners(point: &[i64], lens: &[usize], outside: Outside) -> Vec<(Vec<usize>, f32)> {
    let mut all = vec![(Vec::new(), 1.0)];
    for (&place, &len) in point.iter().rev().zip(lens) {
        let axis = taps(place, len as i64, outside);
        all = all
            .iter()
            .flat_map(|(index, weight)| {
                axis.iter().map(move |&(at, w)| {
                    let index: Vec<usize> = index.iter().copied().chain([at as usize]).collect();
                    (index, weight * w as f32 / 4.0)
                })
            })
            .collect();
    }
    all
}

/// Calls `visit` with result, element and weight of everything that is read.
fn each(x: &ArrayD<f32>, places: &ArrayD<i64>, outside: Outside, mut visit: impl FnMut(&[usize], &[usize], f32)) {
    let rank = *places.shape().last().unwrap();
    let flat = places.to_shape((places.len() / rank, rank)).unwrap();
    let points = ndarray::indices(IxDyn(&places.shape()[..places.ndim() - 1]));
    for (at, point) in points.into_iter().zip(flat.rows()) {
        let at = at.slice().to_vec();
        for (element, weight) in corners(&point.to_vec(), &x.shape()[2..], outside) {
            for c in 0..x.shape()[1] {
                let here = |rest: &[usize]| [&[at[0], c], rest].concat();
                visit(&here(&at[1..]), &here(&element), weight);
            }
        }
    }
}

fn linear(outside: Outside) -> GridSampleParams {
    GridSampleParams { outside, ..GridSampleParams::default() }
}

const OUTSIDES: [Outside; 3] = [Outside::Zeros, Outside::Border, Outside::Reflection];

#[test]
fn forward_matches_the_definition() {
    for (rank, outside) in [2, 3].into_iter().flat_map(|r| OUTSIDES.map(|o| (r, o))) {
        let (x, points, places) = problem(rank);
        let p = linear(outside);
        let mut want = ArrayD::zeros([&[2, 5], &points.shape()[1..=rank]].concat());
        each(&x, &places, outside, |to, from, w| want[to] += w * x[from]);
        for layout in Layout::ALL {
            let (base, at) = (layout.lay(&x, 99.0), layout.lay(&points, f64::NAN));
            let what = format!("{rank} {outside:?} {layout:?}");
            let found = on_every_engine(&what, || grid_sample(&layout.see(&base), &layout.see(&at), &p).unwrap());
            assert_eq!(found, want, "{what}");
            let filled =
                layout.filled(want.shape(), 99.0, |out| grid_sample_into(&x.view(), &points.view(), &p, out).unwrap());
            assert_eq!(filled, want, "{what}");
        }
        let last = GridSampleParams { channels_last: true, ..p };
        let found = grid_sample(&channels_last(&x, rank).view(), &points.view(), &last).unwrap();
        assert_eq!(channels_first(&found, rank), want);
        let half = grid_sample(&x.mapv(f16::from_f32).view(), &points.view(), &p).unwrap();
        assert_eq!(half, want.mapv(f16::from_f32));
    }
}

#[test]
fn backward_matches_the_definition() {
    for (rank, outside) in [2, 3].into_iter().flat_map(|r| OUTSIDES.map(|o| (r, o))) {
        let (x, points, places) = problem(rank);
        let (p, both) = (linear(outside), [true, true]);
        let grad = noise(&[&[2, 5], &points.shape()[1..=rank]].concat(), -3, 7, |v| v as f32);
        let mut want = ArrayD::zeros(x.shape());
        each(&x, &places, outside, |from, to, w| want[to] += w * grad[from]);
        let first = grid_sample_backward(&grad.view(), &x.view(), &points.view(), &p, both).unwrap();
        assert_eq!(first.x.as_ref(), Some(&want));
        for layout in Layout::ALL {
            let (g, base, at) = (layout.lay(&grad, 99.0), layout.lay(&x, 99.0), layout.lay(&points, f64::NAN));
            let what = format!("{rank} {outside:?} {layout:?}");
            let found = on_every_engine(&what, || {
                grid_sample_backward(&layout.see(&g), &layout.see(&base), &layout.see(&at), &p, both).unwrap()
            });
            assert_eq!(found, first, "{what}");
        }
        let last = GridSampleParams { channels_last: true, ..p };
        let (g, moved) = (channels_last(&grad, rank), channels_last(&x, rank));
        let found = grid_sample_backward(&g.view(), &moved.view(), &points.view(), &last, both).unwrap();
        assert_eq!(found.x.map(|d| channels_first(&d, rank)), first.x);
        assert_eq!(found.points, first.points);
        let alone = grid_sample_backward(&grad.view(), &x.view(), &points.view(), &p, [false, true]).unwrap();
        assert_eq!((alone.x, alone.points), (None, first.points));
    }
}

#[test]
fn nearest_takes_every_type() {
    let x = noise(&[2, 3, 4, 8], 0, 2, |v| v == 1);
    let own =
        affine_grid(&array![[1.0_f32, 0.0, 0.0], [0.0, 1.0, 0.0]].into_dyn().view(), x.shape(), true, false).unwrap();
    let p = GridSampleParams { filter: Filter::Nearest, align_corners: true, ..GridSampleParams::default() };
    assert_eq!(grid_sample_move(&x.view(), &own.view(), &p).unwrap(), x);
    let mut out = ArrayD::from_elem(x.shape(), false);
    grid_sample_move_into(&x.view(), &own.view(), &p, out.view_mut()).unwrap();
    assert_eq!(out, x);
    let refused = grid_sample_move(&x.view(), &own.view(), &linear(Outside::Zeros)).unwrap_err();
    assert_eq!(refused.to_string(), "grid_sample_move: filter: must be Nearest, which only copies elements");
}

#[test]
fn integers_are_rounded_once() {
    let x = array![[250_u8, 255], [0, 3]].into_dyn();
    let points = array![[[0.0, -0.5], [0.0, 0.5], [-0.5, 0.0]]].into_dyn();
    for (rounding, want) in [(Rounding::Nearest, [253, 2, 125]), (Rounding::Floor, [252, 1, 125])] {
        let p = GridSampleParams { rounding, ..GridSampleParams::default() };
        assert_eq!(grid_sample(&x.view(), &points.view(), &p).unwrap().into_raw_vec_and_offset().0, want);
    }
}

#[test]
fn affine_grids_and_their_gradient() {
    let theta = noise(&[2, 3, 4], -4, 9, |v| v as f64);
    let points = affine_grid(&theta.view(), &[2, 5, 2, 4, 8], false, false).unwrap();
    assert_eq!(points.shape(), [2, 2, 4, 8, 3]);
    let [z, y, x] = [0.5, -0.25, 0.875];
    for i in 0..3 {
        let row = |j: usize| theta[[1, i, j]];
        assert_eq!(points[[1, 1, 1, 7, i]], row(0) * x + row(1) * y + row(2) * z + row(3));
    }
    let last = affine_grid(&theta.view(), &[2, 2, 4, 8, 5], false, true).unwrap();
    assert_eq!(last, points);
    let grad = noise(points.shape(), -3, 7, |v| v as f64);
    let dt = affine_grid_backward(&grad.view(), theta.shape(), &[2, 5, 2, 4, 8], false, false).unwrap();
    // Linear, so the gradient is the adjoint; all numbers are small and dyadic.
    assert_eq!((&dt * &theta).sum(), (&grad * &points).sum());
    let mut out = ArrayD::zeros(points.shape());
    affine_grid_into(&theta.view(), &[2, 5, 2, 4, 8], false, false, out.view_mut()).unwrap();
    assert_eq!(out, points);
}

#[test]
fn what_does_not_fit_is_named() {
    let (x, points) = (ArrayD::<f32>::zeros(IxDyn(&[2, 3, 4, 5])), ArrayD::<f32>::zeros(IxDyn(&[3, 6, 7, 2])));
    let p = GridSampleParams::default();
    assert_eq!(
        grid_sample(&x.view(), &points.view(), &p).unwrap_err().to_string(),
        "grid_sample: grid.shape = (3, 6, 7, 2): must begin with the first axes of x, (2, 3, 4, 5)"
    );
    let theta = ArrayD::<f32>::zeros(IxDyn(&[2, 3]));
    assert_eq!(
        affine_grid(&theta.view(), &[4], false, false).unwrap_err().to_string(),
        "affine_grid: size = (4,): must have at least 2 entries for theta of shape (2, 3)"
    );
}
