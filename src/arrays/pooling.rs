//! Poolings by order: max, min, and adaptive max, with and without positions.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_entries, require_shape};
use crate::element::{Ordered, Rounding};
use crate::error::{Error, Result};
use crate::kernels::reduce::{Beats, Larger, Smaller};
use crate::layout::{View, ViewMut};
use crate::ops::index::{IndexElement, IndexPlan};
use crate::ops::pool::{PoolParams, PoolPlan, Stored};

/// Parameters of an adaptive pooling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdaptiveParams {
    /// Windows along each spatial axis; `None` keeps an axis as it is.
    pub output_size: Vec<Option<usize>>,
    /// Rule for means of integers; maxima need none.
    pub rounding: Rounding,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl AdaptiveParams {
    /// This many windows along each axis.
    #[must_use]
    pub fn new(output_size: &[usize]) -> Self {
        let output_size = output_size.iter().copied().map(Some).collect();
        Self { output_size, rounding: Rounding::Nearest, channels_last: false }
    }
}

/// How an array of this shape and these elements is cut into windows.
pub(super) trait Windowed {
    /// The checked windows.
    fn plan<T>(&self, shape: &[usize]) -> Result<PoolPlan>;
}

impl Windowed for PoolParams {
    fn plan<T>(&self, shape: &[usize]) -> Result<PoolPlan> {
        let kernel = ("kernel_size", self.kernel_size.len());
        require_entries(kernel, &[("padding", self.padding.len()), ("dilation", self.dilation.len())])?;
        if !self.stride.is_empty() {
            require_entries(kernel, &[("stride", self.stride.len())])?;
        }
        PoolPlan::new(shape, size_of::<T>(), self)
    }
}

impl Windowed for AdaptiveParams {
    fn plan<T>(&self, shape: &[usize]) -> Result<PoolPlan> {
        require_entries(("output_size", self.output_size.len()), &[])?;
        PoolPlan::adaptive(shape, size_of::<T>(), &self.output_size, self.channels_last)
    }
}

fn extrema<T: Ordered, B: Beats>(x: &ArrayViewD<'_, T>, p: &impl Windowed) -> Result<ArrayD<T>> {
    let plan = p.plan::<T>(x.shape())?;
    let mut out = fresh(&plan.out_shape)?;
    plan.extrema::<T, B>(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
    Ok(out)
}

fn extrema_into<T: Ordered, B: Beats>(
    x: &ArrayViewD<'_, T>,
    p: &impl Windowed,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    let plan = p.plan::<T>(x.shape())?;
    require_shape("out", out.shape(), &plan.out_shape)?;
    plan.extrema::<T, B>(&View::from(x), &mut ViewMut::from(&mut out))
}

/// The plan, with the check that indices of type `I` can name every place of a spatial block.
fn located_plan<T, I>(shape: &[usize], p: &impl Windowed) -> Result<PoolPlan> {
    let plan = p.plan::<T>(shape)?;
    let block = plan.axes().spatial(shape).iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let fits = block.is_some_and(|n| size_of::<I>() >= 8 || i32::try_from(n).is_ok());
    if !fits && !plan.out_shape.contains(&0) {
        return Err(Error::value("indices: i32 cannot name each of the spatial block's more than 2**31 - 1 elements"));
    }
    Ok(plan)
}

fn located<T: Ordered, I: IndexElement + Stored, B: Beats>(
    x: &ArrayViewD<'_, T>,
    p: &impl Windowed,
) -> Result<(ArrayD<T>, ArrayD<I>)> {
    let plan = located_plan::<T, I>(x.shape(), p)?;
    let (mut values, mut indices) = (fresh(&plan.out_shape)?, fresh(&plan.out_shape)?);
    let (mut v, mut i) = (values.view_mut(), indices.view_mut());
    plan.extrema_with_indices::<T, B, I>(&View::from(x), &mut ViewMut::from(&mut v), &mut ViewMut::from(&mut i))?;
    Ok((values, indices))
}

fn located_into<T: Ordered, I: IndexElement + Stored, B: Beats>(
    x: &ArrayViewD<'_, T>,
    p: &impl Windowed,
    mut values: ArrayViewMutD<'_, T>,
    mut indices: ArrayViewMutD<'_, I>,
) -> Result<()> {
    let plan = located_plan::<T, I>(x.shape(), p)?;
    require_shape("values", values.shape(), &plan.out_shape)?;
    require_shape("indices", indices.shape(), &plan.out_shape)?;
    let (mut values, mut indices) = (ViewMut::from(&mut values), ViewMut::from(&mut indices));
    plan.extrema_with_indices::<T, B, I>(&View::from(x), &mut values, &mut indices)
}

fn grad_plan<T>(grad: &[usize], indices: &[usize], input_shape: &[usize], p: &impl Windowed) -> Result<IndexPlan> {
    let pool = p.plan::<T>(input_shape)?;
    require_shape("grad_output", grad, &pool.out_shape)?;
    IndexPlan::new(*pool.axes(), ("grad_output", grad), indices, ("input_shape", input_shape), size_of::<T>())
}

fn scatter<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    input_shape: &[usize],
    p: &impl Windowed,
) -> Result<ArrayD<T>> {
    let plan = grad_plan::<T>(grad.shape(), indices.shape(), input_shape, p)?;
    let indices = View::from(indices);
    plan.check(&indices)?;
    let mut out = fresh(input_shape)?;
    plan.add(&View::from(grad), &indices, &mut ViewMut::from(&mut out.view_mut()))?;
    Ok(out)
}

fn scatter_into<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &impl Windowed,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    let plan = grad_plan::<T>(grad.shape(), indices.shape(), out.shape(), p)?;
    plan.add(&View::from(grad), &View::from(indices), &mut ViewMut::from(&mut out))
}

/// The largest element of each window; a NaN wins, of equals the first in row-major order.
///
/// Windows, padding, dilation and `ceil_mode` are those of `torch.nn.functional.max_pool{1,2,3}d` (ONNX MaxPool);
/// padding is never chosen.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, max_pool};
///
/// let x = array![[1, 2, 5], [4, 3, 6], [7, 8, 9]].into_dyn();
/// let params = PoolParams { stride: vec![1, 1], ..PoolParams::new(&[2, 2]) };
/// assert_eq!(max_pool(&x.view(), &params)?, array![[4, 6], [8, 9]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn max_pool<T: Ordered>(x: &ArrayViewD<'_, T>, p: &PoolParams) -> Result<ArrayD<T>> {
    named("max_pool", || extrema::<T, Larger>(x, p))
}

/// [`max_pool`] into `out`.
///
/// # Errors
/// As [`max_pool`], and if `out` has another shape.
pub fn max_pool_into<T: Ordered>(x: &ArrayViewD<'_, T>, p: &PoolParams, out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("max_pool", || extrema_into::<T, Larger>(x, p, out))
}

/// [`max_pool`] and, for each window, the flat position of its element in the spatial block of `x` (`(d*H + h)*W + w`,
/// as in torch), as `i32` or `i64`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, max_pool_with_indices};
///
/// let x = array![[1, 2], [4, 3]].into_dyn();
/// let (values, indices) = max_pool_with_indices::<_, i64>(&x.view(), &PoolParams::new(&[2, 2]))?;
/// assert_eq!((values, indices), (array![[4]].into_dyn(), array![[2]].into_dyn()));
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_pool`], and if a spatial block has more elements than `i32` indices can name.
pub fn max_pool_with_indices<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &PoolParams,
) -> Result<(ArrayD<T>, ArrayD<I>)> {
    named("max_pool_with_indices", || located::<T, I, Larger>(x, p))
}

/// [`max_pool_with_indices`] into `values` and `indices`.
///
/// # Errors
/// As [`max_pool_with_indices`], and if `values` or `indices` has another shape.
pub fn max_pool_with_indices_into<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &PoolParams,
    values: ArrayViewMutD<'_, T>,
    indices: ArrayViewMutD<'_, I>,
) -> Result<()> {
    named("max_pool_with_indices", || located_into::<T, I, Larger>(x, p, values, indices))
}

/// The gradient by the input of [`max_pool_with_indices`], for an input of shape `input_shape` and the same parameters:
/// each gradient goes to the place its index names, and where several meet they are added (half types in `f32`).
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, max_pool_backward};
///
/// let indices = array![1_i64, 1].into_dyn(); // of [1, 5, 2], windows [1, 5] and [5, 2]
/// let params = PoolParams { stride: vec![1], ..PoolParams::new(&[2]) };
/// let grad = array![0.5_f32, 0.25].into_dyn();
/// let grad_x = max_pool_backward(&grad.view(), &indices.view(), &[3], &params)?;
/// assert_eq!(grad_x, array![0.0, 0.75, 0.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_pool`]; if the gradient or the indices have not the shape of the result; [`Error::Index`] for an index
/// outside its spatial block.
pub fn max_pool_backward<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    input_shape: &[usize],
    p: &PoolParams,
) -> Result<ArrayD<T>> {
    named("max_pool_backward", || scatter(grad, indices, input_shape, p))
}

/// [`max_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`max_pool_backward`].
pub fn max_pool_backward_into<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &PoolParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_pool_backward", || scatter_into(grad, indices, p, out))
}

/// The smallest element of each window: [`max_pool`] with the order reversed. A NaN wins, of equals the first in
/// row-major order.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, min_pool};
///
/// let x = array![[1, 2, 5], [4, 3, 6], [7, 8, 9]].into_dyn();
/// let params = PoolParams { stride: vec![1, 1], ..PoolParams::new(&[2, 2]) };
/// assert_eq!(min_pool(&x.view(), &params)?, array![[1, 2], [3, 3]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn min_pool<T: Ordered>(x: &ArrayViewD<'_, T>, p: &PoolParams) -> Result<ArrayD<T>> {
    named("min_pool", || extrema::<T, Smaller>(x, p))
}

/// [`min_pool`] into `out`.
///
/// # Errors
/// As [`min_pool`], and if `out` has another shape.
pub fn min_pool_into<T: Ordered>(x: &ArrayViewD<'_, T>, p: &PoolParams, out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("min_pool", || extrema_into::<T, Smaller>(x, p, out))
}

/// [`min_pool`] and, for each window, the flat position of its element in the spatial block of `x` (`(d*H + h)*W + w`,
/// as in torch), as `i32` or `i64`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, min_pool_with_indices};
///
/// let x = array![[4, 3], [1, 2]].into_dyn();
/// let (values, indices) = min_pool_with_indices::<_, i64>(&x.view(), &PoolParams::new(&[2, 2]))?;
/// assert_eq!((values, indices), (array![[1]].into_dyn(), array![[2]].into_dyn()));
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`min_pool`], and if a spatial block has more elements than `i32` indices can name.
pub fn min_pool_with_indices<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &PoolParams,
) -> Result<(ArrayD<T>, ArrayD<I>)> {
    named("min_pool_with_indices", || located::<T, I, Smaller>(x, p))
}

/// [`min_pool_with_indices`] into `values` and `indices`.
///
/// # Errors
/// As [`min_pool_with_indices`], and if `values` or `indices` has another shape.
pub fn min_pool_with_indices_into<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &PoolParams,
    values: ArrayViewMutD<'_, T>,
    indices: ArrayViewMutD<'_, I>,
) -> Result<()> {
    named("min_pool_with_indices", || located_into::<T, I, Smaller>(x, p, values, indices))
}

/// The gradient by the input of [`min_pool_with_indices`], as [`max_pool_backward`].
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, min_pool_backward};
///
/// let indices = array![0_i32, 3].into_dyn();
/// let grad = array![0.5_f32, 0.25].into_dyn();
/// let grad_x = min_pool_backward(&grad.view(), &indices.view(), &[4], &PoolParams::new(&[2]))?;
/// assert_eq!(grad_x, array![0.5, 0.0, 0.0, 0.25].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`min_pool`]; if the gradient or the indices have not the shape of the result; [`Error::Index`] for an index
/// outside its spatial block.
pub fn min_pool_backward<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    input_shape: &[usize],
    p: &PoolParams,
) -> Result<ArrayD<T>> {
    named("min_pool_backward", || scatter(grad, indices, input_shape, p))
}

/// [`min_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`min_pool_backward`].
pub fn min_pool_backward_into<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &PoolParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("min_pool_backward", || scatter_into(grad, indices, p, out))
}

/// The largest element of each of as many windows as asked for: window `i` of `m` along an axis of `n` elements is
/// `floor(i*n/m) .. ceil((i + 1)*n/m)`, as in `torch.nn.functional.adaptive_max_pool{1,2,3}d`. NaN and ties are as in
/// [`max_pool`].
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AdaptiveParams, adaptive_max_pool};
///
/// let x = array![[1, 3, 2, 5, 4], [0, 9, 8, 7, 6]].into_dyn();
/// let y = adaptive_max_pool(&x.view(), &AdaptiveParams::new(&[2, 2]))?; // [1, 3, 2] and [2, 5, 4], ..
/// assert_eq!(y, array![[3, 5], [9, 8]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn adaptive_max_pool<T: Ordered>(x: &ArrayViewD<'_, T>, p: &AdaptiveParams) -> Result<ArrayD<T>> {
    named("adaptive_max_pool", || extrema::<T, Larger>(x, p))
}

/// [`adaptive_max_pool`] into `out`.
///
/// # Errors
/// As [`adaptive_max_pool`], and if `out` has another shape.
pub fn adaptive_max_pool_into<T: Ordered>(
    x: &ArrayViewD<'_, T>,
    p: &AdaptiveParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("adaptive_max_pool", || extrema_into::<T, Larger>(x, p, out))
}

/// [`adaptive_max_pool`] and, for each window, the flat position of its element in the spatial block of `x` (`(d*H + h)*W + w`,
/// as in torch), as `i32` or `i64`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AdaptiveParams, adaptive_max_pool_with_indices};
///
/// let x = array![[1, 2], [4, 3]].into_dyn();
/// let (values, indices) = adaptive_max_pool_with_indices::<_, i64>(&x.view(), &AdaptiveParams::new(&[1, 1]))?;
/// assert_eq!((values, indices), (array![[4]].into_dyn(), array![[2]].into_dyn()));
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`adaptive_max_pool`], and if a spatial block has more elements than `i32` indices can name.
pub fn adaptive_max_pool_with_indices<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &AdaptiveParams,
) -> Result<(ArrayD<T>, ArrayD<I>)> {
    named("adaptive_max_pool_with_indices", || located::<T, I, Larger>(x, p))
}

/// [`adaptive_max_pool_with_indices`] into `values` and `indices`.
///
/// # Errors
/// As [`adaptive_max_pool_with_indices`], and if `values` or `indices` has another shape.
pub fn adaptive_max_pool_with_indices_into<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &AdaptiveParams,
    values: ArrayViewMutD<'_, T>,
    indices: ArrayViewMutD<'_, I>,
) -> Result<()> {
    named("adaptive_max_pool_with_indices", || located_into::<T, I, Larger>(x, p, values, indices))
}

/// The gradient by the input of [`adaptive_max_pool_with_indices`], as [`max_pool_backward`].
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AdaptiveParams, adaptive_max_pool_backward};
///
/// let indices = array![1_i64, 1].into_dyn(); // of [1, 5, 2], windows [1, 5] and [5, 2]
/// let grad = array![0.5_f32, 0.25].into_dyn();
/// let grad_x = adaptive_max_pool_backward(&grad.view(), &indices.view(), &[3], &AdaptiveParams::new(&[2]))?;
/// assert_eq!(grad_x, array![0.0, 0.75, 0.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`adaptive_max_pool`]; if the gradient or the indices have not the shape of the result; [`Error::Index`] for an index
/// outside its spatial block.
pub fn adaptive_max_pool_backward<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    input_shape: &[usize],
    p: &AdaptiveParams,
) -> Result<ArrayD<T>> {
    named("adaptive_max_pool_backward", || scatter(grad, indices, input_shape, p))
}

/// [`adaptive_max_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`adaptive_max_pool_backward`].
pub fn adaptive_max_pool_backward_into<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &AdaptiveParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("adaptive_max_pool_backward", || scatter_into(grad, indices, p, out))
}
