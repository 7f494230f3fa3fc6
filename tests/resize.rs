//! Resizing through the ndarray functions: against a plain sum over taps, `_into`, moves, gradients and refusals.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, array};
use upsample_rs::{
    Coordinates, Edge, Error, ResizeMethod, ResizeParams, Target, resize, resize_backward, resize_backward_into,
    resize_into, resize_move, resize_move_into,
};

/// Numbers that repeat after no power of two.
fn numbers(shape: &[usize]) -> ArrayD<f64> {
    let count = shape.iter().product::<usize>();
    ArrayD::from_shape_vec(IxDyn(shape), (0..count).map(|i| ((i * 37) % 101) as f64 / 8.0).collect()).unwrap()
}

fn sized(axes: &[usize], size: &[usize], method: ResizeMethod) -> ResizeParams {
    ResizeParams::new(axes, Target::Size(size.to_vec()), method)
}

/// One axis by the formula: cubic at half-pixel positions, edges clamped.
fn cubic_along(x: &ArrayViewD<'_, f64>, axis: usize, n: usize) -> ArrayD<f64> {
    let len = x.shape()[axis];
    let mut shape = x.shape().to_vec();
    shape[axis] = n;
    let mut out = ArrayD::zeros(IxDyn(&shape));
    let a = -0.75;
    let weight = |d: f64| match d.abs() {
        d if d < 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
        d if d < 2.0 => a * (((d - 5.0) * d + 8.0) * d - 4.0),
        _ => 0.0,
    };
    for o in 0..n {
        let at = (o as f64 + 0.5) * len as f64 / n as f64 - 0.5;
        let first = at.floor() as isize - 1;
        for i in first..first + 4 {
            let row = x.index_axis(Axis(axis), i.clamp(0, len as isize - 1) as usize);
            out.index_axis_mut(Axis(axis), o).scaled_add(weight(i as f64 - at), &row);
        }
    }
    out
}

#[test]
fn any_axes_of_any_strides() {
    let x = numbers(&[3, 4, 5, 6, 2]);
    let cases: [(&[usize], &[usize]); 5] = [
        (&[1], &[7]),
        (&[4, 0], &[3, 5]),
        (&[2, 3], &[2, 9]),
        (&[0, 2, 3, 4], &[2, 6, 3, 4]),
        (&[0, 1, 2, 3, 4], &[2; 5]),
    ];
    for (axes, size) in cases {
        let mut want = x.clone();
        axes.iter().zip(size).for_each(|(&axis, &n)| want = cubic_along(&want.view(), axis, n));
        let params = sized(axes, size, ResizeMethod::Cubic);
        let close = |got: &ArrayD<f64>| (got - &want).iter().all(|d| d.abs() < 1e-11);
        assert!(close(&resize(&x.view(), &params).unwrap()), "{axes:?}");
        let order = x.t().as_standard_layout().into_owned();
        assert!(close(&resize(&order.t(), &params).unwrap()), "{axes:?} of another order");
        let mut out = ArrayD::zeros(want.t().raw_dim());
        resize_into(&x.view(), &params, out.view_mut().reversed_axes()).unwrap();
        assert!(close(&out.t().to_owned()), "{axes:?} into another order");
    }
}

#[test]
fn moves_of_every_type_and_the_constant_around_a_region() {
    let mask = array![[true, false], [false, true]].into_dyn();
    let doubled = sized(&[0, 1], &[4, 2], ResizeMethod::Nearest);
    let want = array![[true, false], [true, false], [false, true], [false, true]].into_dyn();
    assert_eq!(resize_move(&mask.view(), false, &doubled).unwrap(), want);
    let region = ResizeParams {
        coordinates: vec![Coordinates::TfCropAndResize],
        roi: vec![(1.5, -0.5)],
        ..sized(&[0], &[5], ResizeMethod::Nearest)
    };
    let numbers = array![1_u8, 2].into_dyn();
    let mut bytes = ArrayD::zeros(IxDyn(&[5]));
    resize_move_into(&numbers.view(), 9, &region, bytes.view_mut()).unwrap();
    assert_eq!(bytes, array![9, 2, 2, 1, 9].into_dyn());
}

#[test]
fn a_single_element_that_a_factor_keeps_single_lies_beside_its_output() {
    let x = array![2.0_f64].into_dyn();
    let scaled = ResizeParams::new(&[0], Target::Scale { factors: vec![1.25], recompute: false }, ResizeMethod::Linear);
    let at = 0.5 / 1.25 - 0.5; // a tenth of an element before the only one
    for (edge, want) in [(Edge::Clamp, 2.0), (Edge::Wrap, 2.0), (Edge::Constant, 2.0 * (1.0 + at) - 10.0 * at)] {
        let found = resize(&x.view(), &ResizeParams { edge, fill: 10.0, ..scaled.clone() }).unwrap();
        assert!((found[0] - want).abs() < 1e-12, "{edge:?}: {found}");
    }
}

#[test]
fn gradients_are_the_transposed_map() {
    for edge in [Edge::Clamp, Edge::Reflect, Edge::Mirror, Edge::Wrap, Edge::Constant] {
        let params = ResizeParams { edge, ..sized(&[1, 0], &[7, 3], ResizeMethod::Lanczos(3)) };
        let (x, y) = (numbers(&[4, 5]), numbers(&[3, 7]));
        let ax = resize(&x.view(), &params).unwrap();
        let aty = resize_backward(&y.view(), &[4, 5], &params).unwrap();
        assert!(((&ax * &y).sum() - (&x * &aty).sum()).abs() < 1e-9, "{edge:?}");
        let mut out = ArrayD::zeros(IxDyn(&[4, 5]));
        resize_backward_into(&y.view(), &params, out.view_mut()).unwrap();
        assert_eq!(out, aty);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let x = numbers(&[4, 5]);
    let refused = |p: &ResizeParams| resize(&x.view(), p).unwrap_err().to_string();
    assert_eq!(refused(&sized(&[2], &[3], ResizeMethod::Linear)), "resize: axes[0] = 2: must be below x.ndim = 2");
    assert_eq!(refused(&sized(&[1, 1], &[3, 3], ResizeMethod::Linear)), "resize: axes[1] = 1: is named twice");
    assert_eq!(refused(&sized(&[1], &[0], ResizeMethod::Linear)), "resize: size[0] = 0: must be at least 1");
    let lobes = sized(&[1], &[3], ResizeMethod::Lanczos(9));
    assert_eq!(refused(&lobes), "resize: method = lanczos9: must be from lanczos2 to lanczos5");
    let moved = resize_move(&x.view(), 0.0, &sized(&[1], &[3], ResizeMethod::Linear));
    assert!(matches!(moved, Err(Error::Type(_))));
    let huge = resize(&x.view(), &sized(&[1], &[1 << 40], ResizeMethod::Linear));
    assert!(matches!(huge, Err(Error::Memory(_))));
}
