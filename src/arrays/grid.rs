//! Sampling at points.

use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_shape};
use crate::element::{Element, Linear};
use crate::error::{Error, Result};
use crate::kernels::grid::Wide;
use crate::layout::{View, ViewMut};
use crate::ops::affine::AffinePlan;
use crate::ops::grid::{GridPlan, GridSampleParams, Points, PointsMut};

/// Types coordinates may have: the floating ones.
pub trait Coordinate: Float<Sum: Wide> {
    /// Points of this type.
    fn points<'a>(view: &'a ArrayViewD<'_, Self>) -> Points<'a>;
    /// Where gradients of points of this type go.
    fn points_mut<'a>(view: &'a mut ArrayViewMutD<'_, Self>) -> PointsMut<'a>;
}

macro_rules! coordinates {
    ($($t:ty => $kind:ident),*) => {$(
        impl Coordinate for $t {
            fn points<'a>(view: &'a ArrayViewD<'_, Self>) -> Points<'a> {
                Points::$kind(View::from(view))
            }
            fn points_mut<'a>(view: &'a mut ArrayViewMutD<'_, Self>) -> PointsMut<'a> {
                PointsMut::$kind(ViewMut::from(view))
            }
        }
    )*};
}
coordinates!(f16 => F16, bf16 => BF16, f32 => F32, f64 => F64);

/// Reads an array at points: `x` of shape `(N, C, *S)` at points `(N, *S_out, n)`, two or three coordinates each, the last
/// spatial axis' first, gives `(N, C, *S_out)`. Coordinates run from -1 to 1 along every axis.
///
/// The leading axes of the points are the first of those of `x`, none included; the axes of `x` that follow are read at
/// the same points. Rules are those of PyTorch's `grid_sample` and ONNX `GridSample`; places and weights are computed in
/// double. Coordinates that are not finite count as outside. Half types are computed in `f32`; integers in `f64`, rounded
/// once by [`GridSampleParams::rounding`] and saturated.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{GridSampleParams, grid_sample};
///
/// let x = array![[1.0_f32, 2.0], [3.0, 4.0]].into_dyn();
/// let points = array![[[0.0_f64, 0.0], [-0.5, 0.5], [-1.0, -0.5]]].into_dyn();
/// let y = grid_sample(&x.view(), &points.view(), &GridSampleParams::default())?;
/// assert_eq!(y, array![[2.5, 3.0, 0.5]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the shape that does not fit; or if memory cannot be had.
pub fn grid_sample<T: Linear<Sum: Wide>, G: Coordinate>(
    x: &ArrayViewD<'_, T>,
    points: &ArrayViewD<'_, G>,
    p: &GridSampleParams,
) -> Result<ArrayD<T>> {
    named("grid_sample", || {
        let plan = GridPlan::new(x.shape(), size_of::<T>(), points.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.forward(&View::from(x), &G::points(points), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`grid_sample`] into `out`.
///
/// # Errors
/// As [`grid_sample`], and if `out` has another shape.
pub fn grid_sample_into<T: Linear<Sum: Wide>, G: Coordinate>(
    x: &ArrayViewD<'_, T>,
    points: &ArrayViewD<'_, G>,
    p: &GridSampleParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("grid_sample", || {
        let plan = GridPlan::new(x.shape(), size_of::<T>(), points.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.forward(&View::from(x), &G::points(points), &mut ViewMut::from(&mut out))
    })
}

fn move_plan<T>(shape: &[usize], points: &[usize], p: &GridSampleParams) -> Result<GridPlan> {
    let plan = GridPlan::new(shape, size_of::<T>(), points, p)?;
    if !plan.is_move() {
        return Err(Error::kind("filter: must be Nearest, which only copies elements"));
    }
    Ok(plan)
}

/// [`grid_sample`] with the nearest elements alone, for every element type, `bool` and complex included.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{Filter, GridSampleParams, grid_sample_move};
///
/// let mask = array![[true, false]].into_dyn();
/// let points = array![[[-0.4_f32, 0.0], [0.6, 0.0], [3.0, 0.0]]].into_dyn();
/// let nearest = GridSampleParams { filter: Filter::Nearest, ..GridSampleParams::default() };
/// let y = grid_sample_move(&mask.view(), &points.view(), &nearest)?;
/// assert_eq!(y, array![[true, false, false]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`grid_sample`]; [`Error::Type`] with another filter.
pub fn grid_sample_move<T: Element, G: Coordinate>(
    x: &ArrayViewD<'_, T>,
    points: &ArrayViewD<'_, G>,
    p: &GridSampleParams,
) -> Result<ArrayD<T>> {
    named("grid_sample_move", || {
        let plan = move_plan::<T>(x.shape(), points.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.run_move(&View::from(x), &G::points(points), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`grid_sample_move`] into `out`.
///
/// # Errors
/// As [`grid_sample_move`], and if `out` has another shape.
pub fn grid_sample_move_into<T: Element, G: Coordinate>(
    x: &ArrayViewD<'_, T>,
    points: &ArrayViewD<'_, G>,
    p: &GridSampleParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("grid_sample_move", || {
        let plan = move_plan::<T>(x.shape(), points.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.run_move(&View::from(x), &G::points(points), &mut ViewMut::from(&mut out))
    })
}

/// Gradients of [`grid_sample`], as far as they were wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct GridGradients<T, G> {
    /// By the array.
    pub x: Option<ArrayD<T>>,
    /// By the points.
    pub points: Option<ArrayD<G>>,
}

/// The gradients of [`grid_sample`] by the array and by the points, as far as `wanted`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{GridSampleParams, grid_sample_backward};
///
/// let x = array![[1.0_f32, 2.0], [3.0, 4.0]].into_dyn();
/// let (grad, points) = (array![[8.0_f32]].into_dyn(), array![[[0.0_f32, 0.0]]].into_dyn());
/// let params = GridSampleParams::default();
/// let grads = grid_sample_backward(&grad.view(), &x.view(), &points.view(), &params, [true, true])?;
/// assert_eq!(grads.x, Some(array![[2.0, 2.0], [2.0, 2.0]].into_dyn()));
/// assert_eq!(grads.points, Some(array![[[8.0, 16.0]]].into_dyn()));
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`grid_sample`], and if the gradient has not the shape of the result.
pub fn grid_sample_backward<T: Coordinate, G: Coordinate>(
    grad: &ArrayViewD<'_, T>,
    x: &ArrayViewD<'_, T>,
    points: &ArrayViewD<'_, G>,
    p: &GridSampleParams,
    wanted: [bool; 2],
) -> Result<GridGradients<T, G>> {
    named("grid_sample_backward", || {
        let plan = GridPlan::new(x.shape(), size_of::<T>(), points.shape(), p)?;
        plan.check_grad(grad.shape())?;
        let mut dx = wanted[0].then(|| fresh::<T>(x.shape())).transpose()?;
        let mut dp = wanted[1].then(|| fresh::<G>(points.shape())).transpose()?;
        let grad = View::from(grad);
        if let Some(dx) = &mut dx {
            plan.input_grad(&grad, &G::points(points), &mut ViewMut::from(&mut dx.view_mut()))?;
        }
        if let Some(dp) = &mut dp {
            plan.points_grad(&grad, &View::from(x), &G::points(points), &mut G::points_mut(&mut dp.view_mut()))?;
        }
        Ok(GridGradients { x: dx, points: dp })
    })
}

/// The points at which [`grid_sample`] takes an array of shape `size` under an affine map: matrices `(N, 2, 3)` or
/// `(N, 3, 4)` give points `(N, *S, 2)` or `(N, *S, 3)`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::affine_grid;
///
/// let mirror = array![[-1.0_f32, 0.0, 0.0], [0.0, 1.0, 0.0]].into_dyn();
/// let points = affine_grid(&mirror.view(), &[1, 2], false, false)?;
/// assert_eq!(points, array![[[0.5, 0.0], [-0.5, 0.0]]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the shape that does not fit; or if memory cannot be had.
pub fn affine_grid<T: Coordinate>(
    theta: &ArrayViewD<'_, T>,
    size: &[usize],
    align_corners: bool,
    channels_last: bool,
) -> Result<ArrayD<T>> {
    named("affine_grid", || {
        let plan = AffinePlan::new(theta.shape(), size_of::<T>(), size, align_corners, channels_last)?;
        let mut out = fresh(&plan.grid_shape)?;
        plan.forward(&View::from(theta), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`affine_grid`] into `out`.
///
/// # Errors
/// As [`affine_grid`], and if `out` has another shape.
pub fn affine_grid_into<T: Coordinate>(
    theta: &ArrayViewD<'_, T>,
    size: &[usize],
    align_corners: bool,
    channels_last: bool,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("affine_grid", || {
        let plan = AffinePlan::new(theta.shape(), size_of::<T>(), size, align_corners, channels_last)?;
        require_shape("out", out.shape(), &plan.grid_shape)?;
        plan.forward(&View::from(theta), &mut ViewMut::from(&mut out))
    })
}

/// The gradient of [`affine_grid`] by its matrices, which have the shape `theta`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::affine_grid_backward;
///
/// let grad = array![[[1.0_f64, 2.0], [3.0, 4.0]]].into_dyn();
/// let dt = affine_grid_backward(&grad.view(), &[2, 3], &[1, 2], false, false)?;
/// assert_eq!(dt, array![[1.0, 0.0, 4.0], [1.0, 0.0, 6.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`affine_grid`], and if the gradient has not the shape of the points.
pub fn affine_grid_backward<T: Coordinate>(
    grad: &ArrayViewD<'_, T>,
    theta: &[usize],
    size: &[usize],
    align_corners: bool,
    channels_last: bool,
) -> Result<ArrayD<T>> {
    named("affine_grid_backward", || {
        let plan = AffinePlan::new(theta, size_of::<T>(), size, align_corners, channels_last)?;
        require_shape("grad_output", grad.shape(), &plan.grid_shape)?;
        let mut out = fresh(theta)?;
        plan.backward(&View::from(grad), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}
