//! Fractional max pooling.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_shape};
use crate::element::Ordered;
use crate::error::{Error, Result};
use crate::layout::{Axes, View, ViewMut};
use crate::ops::fractional::{FractionalParams, FractionalPlan, Samples};
use crate::ops::index::{IndexElement, IndexPlan};

/// The largest element of each window of a fractional max pooling (Graham 2014); a NaN wins, of equals the first in
/// row-major order.
///
/// Every plane has windows of its own: with `u` its random number for an axis, window `i` of `out_len` starts at
/// `floor((i + u)*a) - floor(u*a)`, `a = (in_len - kernel)/(out_len - 1)`, and the last at `in_len - kernel`, as in
/// `torch.nn.functional.fractional_max_pool{2,3}d`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{FractionalParams, OutputLens, Samples, fractional_max_pool};
///
/// let x = array![[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15]].into_dyn();
/// let params = FractionalParams {
///     kernel_size: vec![2, 2],
///     output: OutputLens::Size(vec![2, 3]),
///     channels_last: false,
/// };
/// let samples = array![0.5, 0.0].into_dyn(); // along W, then along H
/// let y = fractional_max_pool(&x.view(), &params, (&samples.view()).into())?;
/// assert_eq!(y, array![[7, 9, 10], [12, 14, 15]].into_dyn()); // columns start at 0, 2 and 3
/// let random = fractional_max_pool(&x.view(), &params, Samples::Seed(7))?;
/// assert_eq!(random[[1, 2]], 15); // the last window ends where the array does
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn fractional_max_pool<T: Ordered>(
    x: &ArrayViewD<'_, T>,
    p: &FractionalParams,
    samples: Samples<'_>,
) -> Result<ArrayD<T>> {
    named("fractional_max_pool", || {
        let plan = FractionalPlan::new(x.shape(), size_of::<T>(), p)?;
        plan.check(&samples)?;
        let mut out = fresh(&plan.out_shape)?;
        values(&plan, x, &samples, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`fractional_max_pool`] into `out`.
///
/// # Errors
/// As [`fractional_max_pool`], and if `out` has another shape.
pub fn fractional_max_pool_into<T: Ordered>(
    x: &ArrayViewD<'_, T>,
    p: &FractionalParams,
    samples: Samples<'_>,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("fractional_max_pool", || {
        let plan = FractionalPlan::new(x.shape(), size_of::<T>(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        values(&plan, x, &samples, &mut out)
    })
}

fn values<T: Ordered>(
    plan: &FractionalPlan,
    x: &ArrayViewD<'_, T>,
    samples: &Samples<'_>,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    plan.maxima::<T, i64>(&View::from(x), samples, &mut ViewMut::from(out), None)
}

/// [`fractional_max_pool`] and, for each window, the flat position of its element in the spatial block of `x`
/// (`(d*H + h)*W + w`, as in torch), as `i32` or `i64`.
///
/// # Errors
/// As [`fractional_max_pool`], and if a spatial block has more elements than `i32` indices can name.
pub fn fractional_max_pool_with_indices<T: Ordered, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    p: &FractionalParams,
    samples: Samples<'_>,
) -> Result<(ArrayD<T>, ArrayD<I>)> {
    named("fractional_max_pool_with_indices", || {
        let plan = located_plan::<T, I>(x.shape(), p)?;
        plan.check(&samples)?;
        let (mut values, mut indices) = (fresh(&plan.out_shape)?, fresh(&plan.out_shape)?);
        located(&plan, x, &samples, &mut values.view_mut(), &mut indices.view_mut())?;
        Ok((values, indices))
    })
}

/// [`fractional_max_pool_with_indices`] into `values` and `indices`.
///
/// # Errors
/// As [`fractional_max_pool_with_indices`], and if `values` or `indices` has another shape.
pub fn fractional_max_pool_with_indices_into<T: Ordered, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    p: &FractionalParams,
    samples: Samples<'_>,
    mut values: ArrayViewMutD<'_, T>,
    mut indices: ArrayViewMutD<'_, I>,
) -> Result<()> {
    named("fractional_max_pool_with_indices", || {
        let plan = located_plan::<T, I>(x.shape(), p)?;
        require_shape("values", values.shape(), &plan.out_shape)?;
        require_shape("indices", indices.shape(), &plan.out_shape)?;
        located(&plan, x, &samples, &mut values, &mut indices)
    })
}

/// The plan, with the check that indices of type `I` can name every place of a spatial block.
fn located_plan<T, I>(shape: &[usize], p: &FractionalParams) -> Result<FractionalPlan> {
    let plan = FractionalPlan::new(shape, size_of::<T>(), p)?;
    if size_of::<I>() < 8 && !plan.fits_int32() {
        return Err(Error::value("indices: i32 cannot name each of the spatial block's more than 2**31 - 1 elements"));
    }
    Ok(plan)
}

fn located<T: Ordered, I: IndexElement>(
    plan: &FractionalPlan,
    x: &ArrayViewD<'_, T>,
    samples: &Samples<'_>,
    values: &mut ArrayViewMutD<'_, T>,
    indices: &mut ArrayViewMutD<'_, I>,
) -> Result<()> {
    plan.maxima(&View::from(x), samples, &mut ViewMut::from(values), Some(&mut ViewMut::from(indices)))
}

fn grad_plan<T>(grad: &[usize], indices: &[usize], input: &[usize], p: &FractionalParams) -> Result<IndexPlan> {
    let plan = FractionalPlan::new(input, size_of::<T>(), p)?;
    require_shape("grad_output", grad, &plan.out_shape)?;
    let axes = Axes::new(input.len(), p.kernel_size.len(), p.channels_last)?;
    IndexPlan::new(axes, ("grad_output", grad), indices, ("input_shape", input), size_of::<T>())
}

/// The gradient by the input of [`fractional_max_pool_with_indices`], for an input of shape `input_shape` and the same
/// parameters: each gradient goes to the place its index names, and where several meet they are added (half types in
/// `f32`). The indices say all there is to know of the random numbers.
///
/// # Errors
/// As [`fractional_max_pool`]; if the gradient or the indices have not the shape of the result; [`Error::Index`] for an
/// index outside its spatial block.
pub fn fractional_max_pool_backward<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    input_shape: &[usize],
    p: &FractionalParams,
) -> Result<ArrayD<T>> {
    named("fractional_max_pool_backward", || {
        let plan = grad_plan::<T>(grad.shape(), indices.shape(), input_shape, p)?;
        let indices = View::from(indices);
        plan.check(&indices)?;
        let mut out = fresh(input_shape)?;
        plan.add(&View::from(grad), &indices, &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`fractional_max_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`fractional_max_pool_backward`].
pub fn fractional_max_pool_backward_into<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &FractionalParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("fractional_max_pool_backward", || {
        let plan = grad_plan::<T>(grad.shape(), indices.shape(), out.shape(), p)?;
        plan.add(&View::from(grad), &View::from(indices), &mut ViewMut::from(&mut out))
    })
}
