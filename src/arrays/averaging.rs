//! Poolings that compute: averages, norms, and adaptive averages.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::pooling::{AdaptiveParams, Windowed};
use super::{Float, fresh, named, require_shape};
use crate::element::{Linear, Rounding};
use crate::error::Result;
use crate::layout::{View, ViewMut};
use crate::ops::pool::{Divisor, PoolParams, PoolPlan};
use crate::ops::pool_gradient::{check_divisor, check_exponent};

/// Parameters of an average pooling.
#[derive(Debug, Clone, PartialEq)]
pub struct AvgPoolParams {
    /// The windows.
    pub windows: PoolParams,
    /// What their sums are divided by.
    pub divisor: Divisor,
    /// Rule for integer results.
    pub rounding: Rounding,
}

impl AvgPoolParams {
    /// Windows of these lengths, next to each other; everything else at its default.
    #[must_use]
    pub fn new(kernel_size: &[usize]) -> Self {
        let windows = PoolParams::new(kernel_size);
        Self { windows, divisor: Divisor::WindowAndPadding, rounding: Rounding::Nearest }
    }
}

/// Parameters of a pooling by p-norms.
#[derive(Debug, Clone, PartialEq)]
pub struct LpPoolParams {
    /// The windows.
    pub windows: PoolParams,
    /// The exponent p, above 0; infinity takes the largest magnitude.
    pub norm_type: f64,
    /// Rule for integer results.
    pub rounding: Rounding,
}

impl LpPoolParams {
    /// Norms with this exponent of windows of these lengths, next to each other.
    #[must_use]
    pub fn new(norm_type: f64, kernel_size: &[usize]) -> Self {
        Self { windows: PoolParams::new(kernel_size), norm_type, rounding: Rounding::Nearest }
    }
}

fn avg_plan<T>(shape: &[usize], p: &AvgPoolParams) -> Result<PoolPlan> {
    check_divisor(p.divisor)?;
    p.windows.plan::<T>(shape)
}

fn lp_plan<T>(shape: &[usize], p: &LpPoolParams) -> Result<PoolPlan> {
    check_exponent(p.norm_type)?;
    p.windows.plan::<T>(shape)
}

/// The mean of each window: its sum over [`AvgPoolParams::divisor`].
///
/// Windows, padding and `ceil_mode` are those of `torch.nn.functional.avg_pool{1,2,3}d` (ONNX AveragePool), with
/// dilation on request. Half types are summed in `f32`, integers in `f64`; results are rounded once, integers by
/// [`AvgPoolParams::rounding`].
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AvgPoolParams, avg_pool};
///
/// let x = array![[1.0_f32, 2.0, 4.0, 0.0], [3.0, 6.0, 2.0, 2.0]].into_dyn();
/// assert_eq!(avg_pool(&x.view(), &AvgPoolParams::new(&[2, 2]))?, array![[3.0, 2.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn avg_pool<T: Linear>(x: &ArrayViewD<'_, T>, p: &AvgPoolParams) -> Result<ArrayD<T>> {
    named("avg_pool", || means(&avg_plan::<T>(x.shape(), p)?, x, p.divisor, p.rounding))
}

/// [`avg_pool`] into `out`.
///
/// # Errors
/// As [`avg_pool`], and if `out` has another shape.
pub fn avg_pool_into<T: Linear>(x: &ArrayViewD<'_, T>, p: &AvgPoolParams, out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("avg_pool", || means_into(&avg_plan::<T>(x.shape(), p)?, x, p.divisor, p.rounding, out))
}

fn means<T: Linear>(plan: &PoolPlan, x: &ArrayViewD<'_, T>, divisor: Divisor, rounding: Rounding) -> Result<ArrayD<T>> {
    let mut out = fresh(&plan.out_shape)?;
    plan.means(&View::from(x), &mut ViewMut::from(&mut out.view_mut()), divisor, rounding)?;
    Ok(out)
}

fn means_into<T: Linear>(
    plan: &PoolPlan,
    x: &ArrayViewD<'_, T>,
    divisor: Divisor,
    rounding: Rounding,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    require_shape("out", out.shape(), &plan.out_shape)?;
    plan.means(&View::from(x), &mut ViewMut::from(&mut out), divisor, rounding)
}

/// The gradient by the input of [`avg_pool`], for an input of shape `input_shape` and the same parameters: each
/// gradient, over the divisor of its window, goes to every element of the window.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AvgPoolParams, avg_pool_backward};
///
/// let grad = array![2.0_f32, 4.0].into_dyn();
/// let grad_x = avg_pool_backward(&grad.view(), &[5], &AvgPoolParams::new(&[2]))?;
/// assert_eq!(grad_x, array![1.0, 1.0, 2.0, 2.0, 0.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`avg_pool`], and if the gradient has not the shape of the result.
pub fn avg_pool_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    input_shape: &[usize],
    p: &AvgPoolParams,
) -> Result<ArrayD<T>> {
    named("avg_pool_backward", || means_backward(&avg_plan::<T>(input_shape, p)?, grad, input_shape, p.divisor))
}

/// [`avg_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`avg_pool_backward`].
pub fn avg_pool_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    p: &AvgPoolParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("avg_pool_backward", || means_backward_into(&avg_plan::<T>(out.shape(), p)?, grad, p.divisor, out))
}

fn means_backward<T: Float>(
    plan: &PoolPlan,
    grad: &ArrayViewD<'_, T>,
    input_shape: &[usize],
    divisor: Divisor,
) -> Result<ArrayD<T>> {
    require_shape("grad_output", grad.shape(), &plan.out_shape)?;
    let mut out = fresh(input_shape)?;
    plan.means_gradient(&View::from(grad), &mut ViewMut::from(&mut out.view_mut()), divisor)?;
    Ok(out)
}

fn means_backward_into<T: Float>(
    plan: &PoolPlan,
    grad: &ArrayViewD<'_, T>,
    divisor: Divisor,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    require_shape("grad_output", grad.shape(), &plan.out_shape)?;
    plan.means_gradient(&View::from(grad), &mut ViewMut::from(&mut out), divisor)
}

/// The mean of each of as many windows as asked for: window `i` of `m` along an axis of `n` elements is
/// `floor(i*n/m) .. ceil((i + 1)*n/m)`, as in `torch.nn.functional.adaptive_avg_pool{1,2,3}d`. Sums and rounding are as
/// in [`avg_pool`].
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AdaptiveParams, adaptive_avg_pool};
///
/// let x = array![[1.0_f32, 3.0, 2.0], [5.0, 3.0, 4.0]].into_dyn();
/// let y = adaptive_avg_pool(&x.view(), &AdaptiveParams::new(&[1, 2]))?;
/// assert_eq!(y, array![[3.0, 3.0]].into_dyn());
/// let params = AdaptiveParams { output_size: vec![None, Some(1)], ..AdaptiveParams::new(&[]) };
/// assert_eq!(adaptive_avg_pool(&x.view(), &params)?, array![[2.0], [4.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn adaptive_avg_pool<T: Linear>(x: &ArrayViewD<'_, T>, p: &AdaptiveParams) -> Result<ArrayD<T>> {
    named("adaptive_avg_pool", || means(&p.plan::<T>(x.shape())?, x, Divisor::Window, p.rounding))
}

/// [`adaptive_avg_pool`] into `out`.
///
/// # Errors
/// As [`adaptive_avg_pool`], and if `out` has another shape.
pub fn adaptive_avg_pool_into<T: Linear>(
    x: &ArrayViewD<'_, T>,
    p: &AdaptiveParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("adaptive_avg_pool", || means_into(&p.plan::<T>(x.shape())?, x, Divisor::Window, p.rounding, out))
}

/// The gradient by the input of [`adaptive_avg_pool`], for an input of shape `input_shape` and the same parameters.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{AdaptiveParams, adaptive_avg_pool_backward};
///
/// let grad = array![2.0_f32, 4.0].into_dyn();
/// let grad_x = adaptive_avg_pool_backward(&grad.view(), &[3], &AdaptiveParams::new(&[2]))?;
/// assert_eq!(grad_x, array![1.0, 3.0, 2.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`adaptive_avg_pool`], and if the gradient has not the shape of the result.
pub fn adaptive_avg_pool_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    input_shape: &[usize],
    p: &AdaptiveParams,
) -> Result<ArrayD<T>> {
    let run = || means_backward(&p.plan::<T>(input_shape)?, grad, input_shape, Divisor::Window);
    named("adaptive_avg_pool_backward", run)
}

/// [`adaptive_avg_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`adaptive_avg_pool_backward`].
pub fn adaptive_avg_pool_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    p: &AdaptiveParams,
    out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    let run = || means_backward_into(&p.plan::<T>(out.shape())?, grad, Divisor::Window, out);
    named("adaptive_avg_pool_backward", run)
}

/// The p-norm of each window, `sum(|x|^p)^(1/p)`; the largest magnitude if p is infinite.
///
/// Windows are those of [`avg_pool`]; padding adds nothing. Unlike `torch.nn.functional.lp_pool{1,2}d` this takes the
/// magnitude, as ONNX LpPool does. Half types are computed in `f32`, integers in `f64`, and rounded once.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{LpPoolParams, lp_pool};
///
/// let x = array![3.0_f32, -4.0, 0.0, 2.0].into_dyn();
/// assert_eq!(lp_pool(&x.view(), &LpPoolParams::new(2.0, &[2]))?, array![5.0, 2.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn lp_pool<T: Linear>(x: &ArrayViewD<'_, T>, p: &LpPoolParams) -> Result<ArrayD<T>> {
    named("lp_pool", || {
        let plan = lp_plan::<T>(x.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.norms(&View::from(x), &mut ViewMut::from(&mut out.view_mut()), p.norm_type, p.rounding)?;
        Ok(out)
    })
}

/// [`lp_pool`] into `out`.
///
/// # Errors
/// As [`lp_pool`], and if `out` has another shape.
pub fn lp_pool_into<T: Linear>(x: &ArrayViewD<'_, T>, p: &LpPoolParams, mut out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("lp_pool", || {
        let plan = lp_plan::<T>(x.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.norms(&View::from(x), &mut ViewMut::from(&mut out), p.norm_type, p.rounding)
    })
}

/// The gradient by the input of [`lp_pool`], for the gradient of its result, its input and the same parameters.
///
/// A window with norm `y` adds `grad * sign(x) * (|x| / y)^(p - 1)` to each of its elements `x`, and nothing where `x` is
/// 0. For an infinite p it adds `grad * sign(x)` to the first element of magnitude `y` in row-major order.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{LpPoolParams, lp_pool_backward};
///
/// let x = array![3.0_f32, -4.0, 0.0, 2.0].into_dyn();
/// let grad = array![10.0_f32, 1.0].into_dyn();
/// let grad_x = lp_pool_backward(&grad.view(), &x.view(), &LpPoolParams::new(2.0, &[2]))?;
/// assert_eq!(grad_x, array![6.0, -8.0, 0.0, 1.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`lp_pool`], and if the gradient has not the shape of the result.
pub fn lp_pool_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: &ArrayViewD<'_, T>,
    p: &LpPoolParams,
) -> Result<ArrayD<T>> {
    named("lp_pool_backward", || {
        let plan = lp_plan::<T>(x.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.out_shape)?;
        let mut out = fresh(x.shape())?;
        let mut view = out.view_mut();
        plan.norms_gradient(&View::from(grad), &View::from(x), &mut ViewMut::from(&mut view), p.norm_type)?;
        Ok(out)
    })
}

/// [`lp_pool_backward`] into `out`.
///
/// # Errors
/// As [`lp_pool_backward`], and if `out` has another shape.
pub fn lp_pool_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: &ArrayViewD<'_, T>,
    p: &LpPoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("lp_pool_backward", || {
        let plan = lp_plan::<T>(x.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.out_shape)?;
        require_shape("out", out.shape(), x.shape())?;
        plan.norms_gradient(&View::from(grad), &View::from(x), &mut ViewMut::from(&mut out), p.norm_type)
    })
}
