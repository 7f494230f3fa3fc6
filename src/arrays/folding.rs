//! Windows as columns, and columns added up.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{fresh, named, require_shape};
use crate::element::{Added, Element};
use crate::error::Result;
use crate::layout::{View, ViewMut};
use crate::ops::fold::{FoldParams, FoldPlan};

/// Copies the elements of every window into a column: `(.., C, ..S)` becomes `(.., C * K, L)`, with `K` the elements of a
/// kernel and `L` the windows; with `channels_last`, `(.., ..S, C)` becomes `(.., L, C * K)`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{FoldParams, unfold};
///
/// let x = array![[1, 2, 3, 4]].into_dyn();
/// assert_eq!(unfold(&x.view(), &FoldParams::new(&[2]))?, array![[1, 2, 3], [2, 3, 4]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn unfold<T: Element>(x: &ArrayViewD<'_, T>, p: &FoldParams) -> Result<ArrayD<T>> {
    named("unfold", || {
        let plan = FoldPlan::of_image(x.shape(), size_of::<T>(), p)?;
        let mut out = fresh(&plan.columns_shape)?;
        plan.unfold(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`unfold`] into `out`.
///
/// # Errors
/// As [`unfold`], and if `out` has another shape.
pub fn unfold_into<T: Element>(x: &ArrayViewD<'_, T>, p: &FoldParams, mut out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("unfold", || {
        let plan = FoldPlan::of_image(x.shape(), size_of::<T>(), p)?;
        require_shape("out", out.shape(), &plan.columns_shape)?;
        plan.unfold(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// The gradient by the input of [`unfold`], for an input of this shape: [`fold`], which also undoes the loss of a channel
/// axis that was not there.
///
/// # Errors
/// As [`unfold`], and if the gradient has not the shape of the result.
pub fn unfold_backward<T: Added>(grad: &ArrayViewD<'_, T>, input_shape: &[usize], p: &FoldParams) -> Result<ArrayD<T>> {
    named("unfold_backward", || {
        let plan = FoldPlan::of_image(input_shape, size_of::<T>(), p)?;
        plan.check_columns("grad_output", grad.shape())?;
        let mut out = fresh(input_shape)?;
        plan.fold(T::TotalCodec::default(), &View::from(grad), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// Adds columns up: every element of an image of spatial size `output_size` is the sum of its values in all windows that
/// have it, 0 where none has. Half types are added in `f32` and rounded once, integers exactly and saturated once. The
/// gradient is [`unfold`].
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{FoldParams, fold};
///
/// let x = array![[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]].into_dyn();
/// assert_eq!(fold(&x.view(), &[4], &FoldParams::new(&[2]))?, array![[1.0, 4.0, 6.0, 4.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn fold<T: Added>(x: &ArrayViewD<'_, T>, output_size: &[usize], p: &FoldParams) -> Result<ArrayD<T>> {
    named("fold", || {
        let plan = FoldPlan::of_columns(x.shape(), size_of::<T>(), output_size, p)?;
        let mut out = fresh(&plan.image_shape)?;
        plan.fold(T::TotalCodec::default(), &View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`fold`] into `out`.
///
/// # Errors
/// As [`fold`], and if `out` has another shape.
pub fn fold_into<T: Added>(
    x: &ArrayViewD<'_, T>,
    output_size: &[usize],
    p: &FoldParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("fold", || {
        let plan = FoldPlan::of_columns(x.shape(), size_of::<T>(), output_size, p)?;
        require_shape("out", out.shape(), &plan.image_shape)?;
        plan.fold(T::TotalCodec::default(), &View::from(x), &mut ViewMut::from(&mut out))
    })
}
