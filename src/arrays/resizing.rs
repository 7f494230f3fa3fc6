//! Resizing along any axes.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_shape};
use crate::element::{Codec, Element, Linear, Real};
use crate::error::{Error, Result};
use crate::layout::{View, ViewMut};
use crate::ops::resize::{ResizeParams, ResizePlan};

/// The constant outside, in the type of the array.
fn fill_of<T: Linear>(p: &ResizeParams) -> T {
    T::sum_codec(p.rounding).store(T::Sum::of(p.fill))
}

/// Resizes any axes of `x` by any of the filters and coordinate rules of ONNX Resize-19, Pillow and OpenCV.
///
/// Coordinates are exact fractions where they follow from two lengths, and weights are `f64`. Half types are computed in
/// `f32`; integers in `f64`, rounded once by [`ResizeParams::rounding`] and saturated, however many axes there are.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{ResizeMethod, ResizeParams, Target, resize};
///
/// let x = array![[1.0_f32, 2.0], [3.0, 4.0]].into_dyn();
/// let params = ResizeParams::new(&[0], Target::Size(vec![4]), ResizeMethod::Linear);
/// let y = resize(&x.view(), &params)?;
/// assert_eq!(y, array![[1.0, 2.0], [1.5, 2.5], [2.5, 3.5], [3.0, 4.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn resize<T: Linear>(x: &ArrayViewD<'_, T>, p: &ResizeParams) -> Result<ArrayD<T>> {
    named("resize", || {
        let plan = ResizePlan::new(x.shape(), size_of::<T>(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out.view_mut()), fill_of(p))?;
        Ok(out)
    })
}

/// [`resize`] into `out`.
///
/// # Errors
/// As [`resize`], and if `out` has another shape; `out` is then as it was, unless memory ran out midway.
pub fn resize_into<T: Linear>(x: &ArrayViewD<'_, T>, p: &ResizeParams, mut out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("resize", || {
        let plan = ResizePlan::new(x.shape(), size_of::<T>(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out), fill_of(p))
    })
}

fn move_plan<T>(shape: &[usize], p: &ResizeParams) -> Result<ResizePlan> {
    let plan = ResizePlan::new(shape, size_of::<T>(), p)?;
    if !plan.is_move() {
        return Err(Error::kind("method: must be Nearest, which only copies elements"));
    }
    Ok(plan)
}

/// [`resize`] by copying alone, for every element type, `bool` and complex included. What lies outside is `fill`
/// ([`ResizeParams::fill`] is not looked at).
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{ResizeMethod, ResizeParams, Target, resize_move};
///
/// let mask = array![true, false].into_dyn();
/// let params = ResizeParams::new(&[0], Target::Size(vec![4]), ResizeMethod::Nearest);
/// assert_eq!(resize_move(&mask.view(), false, &params)?, array![true, true, false, false].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`resize`]; [`Error::Type`] if any method but nearest changes an axis.
pub fn resize_move<T: Element>(x: &ArrayViewD<'_, T>, fill: T, p: &ResizeParams) -> Result<ArrayD<T>> {
    named("resize_move", || {
        let plan = move_plan::<T>(x.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.run_move(&View::from(x), &mut ViewMut::from(&mut out.view_mut()), fill)?;
        Ok(out)
    })
}

/// [`resize_move`] into `out`.
///
/// # Errors
/// As [`resize_move`], and if `out` has another shape.
pub fn resize_move_into<T: Element>(
    x: &ArrayViewD<'_, T>,
    fill: T,
    p: &ResizeParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("resize_move", || {
        let plan = move_plan::<T>(x.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.run_move(&View::from(x), &mut ViewMut::from(&mut out), fill)
    })
}

fn backward_plan<T>(grad: &[usize], input_shape: &[usize], p: &ResizeParams) -> Result<ResizePlan> {
    let plan = ResizePlan::new(input_shape, size_of::<T>(), p)?;
    require_shape("grad_output", grad, &plan.out_shape)?;
    Ok(plan)
}

/// The gradient by the input of [`resize`], for an input of shape `input_shape` and the same parameters: the transposed
/// linear map.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{ResizeMethod, ResizeParams, Target, resize_backward};
///
/// let params = ResizeParams::new(&[0], Target::Size(vec![4]), ResizeMethod::Linear);
/// let grad = array![1.0_f32, 0.0, 0.0, 1.0].into_dyn();
/// assert_eq!(resize_backward(&grad.view(), &[2], &params)?, array![1.0, 1.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`resize`], and if the gradient has not the shape of the result.
pub fn resize_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    input_shape: &[usize],
    p: &ResizeParams,
) -> Result<ArrayD<T>> {
    named("resize_backward", || {
        let plan = backward_plan::<T>(grad.shape(), input_shape, p)?;
        let mut out = fresh(input_shape)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`resize_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`resize_backward`].
pub fn resize_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    p: &ResizeParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("resize_backward", || {
        let plan = backward_plan::<T>(grad.shape(), out.shape(), p)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out))
    })
}
