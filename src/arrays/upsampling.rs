//! Interpolation and bed of nails.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_entries, require_shape};
use crate::element::{Element, Linear};
use crate::error::{Error, Result};
use crate::layout::{View, ViewMut};
use crate::ops::moves::{NailsParams, NailsPlan};
use crate::ops::resample::{InterpolateParams, InterpolatePlan, Target};

fn interpolate_plan<T>(shape: &[usize], p: &InterpolateParams) -> Result<InterpolatePlan> {
    match &p.target {
        Target::Size(size) => require_entries(("size", size.len()), &[])?,
        Target::Scale { factors, .. } => require_entries(("scale_factor", factors.len()), &[])?,
    }
    InterpolatePlan::new(shape, size_of::<T>(), p)
}

/// Resizes the spatial axes of `x`: nearest, nearest-exact, linear, cubic, lanczos or area.
///
/// Coordinates follow `torch.nn.functional.interpolate` (ONNX Resize: `half_pixel`, `align_corners`; `Nearest` is its
/// `asymmetric` with `floor`), but are exact fractions where they follow from the lengths. With `antialias` the filter
/// widens by the ratio when shrinking, as in torch and Pillow. [`resize`](super::resize) has more filters and rules. Half types are computed in `f32`; integers in `f64`,
/// rounded once by [`InterpolateParams::rounding`] and saturated.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{InterpolateParams, Mode, Target, interpolate};
///
/// let x = array![[1.0_f32, 2.0], [3.0, 4.0]].into_dyn();
/// let params = InterpolateParams::new(Mode::Linear, Target::Size(vec![2, 4]));
/// let y = interpolate(&x.view(), &params)?;
/// assert_eq!(y, array![[1.0, 1.25, 1.75, 2.0], [3.0, 3.25, 3.75, 4.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn interpolate<T: Linear>(x: &ArrayViewD<'_, T>, p: &InterpolateParams) -> Result<ArrayD<T>> {
    named("interpolate", || {
        let plan = interpolate_plan::<T>(x.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`interpolate`] into `out`.
///
/// ```
/// use ndarray::{ArrayD, array};
/// use upsample_rs::{InterpolateParams, Mode, Target, interpolate_into};
///
/// let x = array![10_u8, 20].into_dyn();
/// let mut out = ArrayD::zeros(vec![4]);
/// let doubled = Target::Scale { factors: vec![2.0], recompute: false };
/// interpolate_into(&x.view(), &InterpolateParams::new(Mode::Linear, doubled), out.view_mut())?;
/// assert_eq!(out, array![10, 13, 18, 20].into_dyn()); // 12.5 and 17.5: ties go up
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`interpolate`], and if `out` has another shape; `out` is then as it was, unless memory ran out midway.
pub fn interpolate_into<T: Linear>(
    x: &ArrayViewD<'_, T>,
    p: &InterpolateParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("interpolate", || {
        let plan = interpolate_plan::<T>(x.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

fn move_plan<T>(shape: &[usize], p: &InterpolateParams) -> Result<InterpolatePlan> {
    let plan = interpolate_plan::<T>(shape, p)?;
    if !plan.is_move() {
        return Err(Error::kind("mode = Linear: must be Nearest or NearestExact, which only copy elements"));
    }
    Ok(plan)
}

/// [`interpolate`] by copying alone, for every element type, `bool` and complex included.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{InterpolateParams, Mode, Target, interpolate_move};
///
/// let mask = array![true, false].into_dyn();
/// let y = interpolate_move(&mask.view(), &InterpolateParams::new(Mode::Nearest, Target::Size(vec![4])))?;
/// assert_eq!(y, array![true, true, false, false].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`interpolate`]; [`Error::Type`] if the mode is linear and the size changes.
pub fn interpolate_move<T: Element>(x: &ArrayViewD<'_, T>, p: &InterpolateParams) -> Result<ArrayD<T>> {
    named("interpolate_move", || {
        let plan = move_plan::<T>(x.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.run_move(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`interpolate_move`] into `out`.
///
/// # Errors
/// As [`interpolate_move`], and if `out` has another shape.
pub fn interpolate_move_into<T: Element>(
    x: &ArrayViewD<'_, T>,
    p: &InterpolateParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("interpolate_move", || {
        let plan = move_plan::<T>(x.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.run_move(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

fn backward_plan<T>(grad: &[usize], input_shape: &[usize], p: &InterpolateParams) -> Result<InterpolatePlan> {
    let plan = interpolate_plan::<T>(input_shape, p)?;
    require_shape("grad_output", grad, &plan.out_shape)?;
    Ok(plan)
}

/// The gradient by the input of [`interpolate`], for an input of shape `input_shape` and the same parameters: the
/// transposed linear map, as PyTorch's autograd gives it.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{InterpolateParams, Mode, Target, interpolate_backward};
///
/// let params = InterpolateParams::new(Mode::Linear, Target::Size(vec![4]));
/// let grad = array![1.0_f32, 0.0, 0.0, 1.0].into_dyn();
/// assert_eq!(interpolate_backward(&grad.view(), &[2], &params)?, array![1.0, 1.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`interpolate`], and if the gradient has not the shape of the result.
pub fn interpolate_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    input_shape: &[usize],
    p: &InterpolateParams,
) -> Result<ArrayD<T>> {
    named("interpolate_backward", || {
        let plan = backward_plan::<T>(grad.shape(), input_shape, p)?;
        let mut out = fresh(input_shape)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`interpolate_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`interpolate_backward`].
pub fn interpolate_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    p: &InterpolateParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("interpolate_backward", || {
        let plan = backward_plan::<T>(grad.shape(), out.shape(), p)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out))
    })
}

fn nails_plan<T>(shape: &[usize], p: &NailsParams) -> Result<NailsPlan> {
    require_entries(("factor", p.factor.len()), &[("offset", p.offset.len())])?;
    NailsPlan::new(shape, size_of::<T>(), p)
}

/// Puts each element at `offset` within a cell of `factor` elements, zeros elsewhere: NumPy's
/// `out[.., offset::factor, ..] = x` into zeros, and what a transposed convolution with a one-element kernel does.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{NailsParams, bed_of_nails};
///
/// let x = array![[1, 2], [3, 4]].into_dyn();
/// let params = NailsParams { factor: vec![2, 2], offset: vec![0, 0], channels_last: false };
/// let y = bed_of_nails(&x.view(), &params)?;
/// assert_eq!(y, array![[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn bed_of_nails<T: Element>(x: &ArrayViewD<'_, T>, p: &NailsParams) -> Result<ArrayD<T>> {
    named("bed_of_nails", || {
        let plan = nails_plan::<T>(x.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`bed_of_nails`] into `out`.
///
/// # Errors
/// As [`bed_of_nails`], and if `out` has another shape.
pub fn bed_of_nails_into<T: Element>(
    x: &ArrayViewD<'_, T>,
    p: &NailsParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("bed_of_nails", || {
        let plan = nails_plan::<T>(x.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// The gradient by the input of [`bed_of_nails`], for an input of shape `input_shape`: the strided slice
/// `grad[.., offset::factor, ..]`, for every element type.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{NailsParams, bed_of_nails_backward};
///
/// let params = NailsParams { factor: vec![3], offset: vec![1], channels_last: false };
/// let grad = array![1, 2, 3, 4, 5, 6].into_dyn();
/// assert_eq!(bed_of_nails_backward(&grad.view(), &[2], &params)?, array![2, 5].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`bed_of_nails`], and if the gradient has not the shape of the result.
pub fn bed_of_nails_backward<T: Element>(
    grad: &ArrayViewD<'_, T>,
    input_shape: &[usize],
    p: &NailsParams,
) -> Result<ArrayD<T>> {
    named("bed_of_nails_backward", || {
        let plan = nails_plan::<T>(input_shape, p)?;
        require_shape("grad_output", grad.shape(), &plan.out_shape)?;
        let mut out = fresh(input_shape)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`bed_of_nails_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`bed_of_nails_backward`].
pub fn bed_of_nails_backward_into<T: Element>(
    grad: &ArrayViewD<'_, T>,
    p: &NailsParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("bed_of_nails_backward", || {
        let plan = nails_plan::<T>(out.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.out_shape)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out))
    })
}
