//! Regions of interest.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_shape};
use crate::element::{Linear, Ordered};
use crate::error::{Error, Result};
use crate::layout::{View, ViewMut};
use crate::ops::roi::{Roi, RoiAlignParams, RoiMode, RoiPlan, RoiPoolParams};

fn box_name(k: usize) -> String {
    format!("boxes[{k}]")
}

fn align_plan<T>(shape: &[usize], boxes: &[Roi], p: &RoiAlignParams) -> Result<RoiPlan> {
    RoiPlan::align(shape, size_of::<T>(), boxes, &box_name, p)
}

fn pool_plan<T>(shape: &[usize], boxes: &[Roi], p: &RoiPoolParams) -> Result<RoiPlan> {
    RoiPlan::pool(shape, size_of::<T>(), boxes, &box_name, p)
}

/// Cuts every box into bins and reads each bin at a grid of points by linear interpolation (`RoIAlign`): `x` of shape
/// `(N, C, H, W)` gives `(boxes, C, bins along H, bins along W)`.
///
/// A bin is the mean of its points, or by [`RoiMode::Maximum`] the largest of their elements times weights. A point
/// up to one element outside the image has the value of the edge, further out it counts as zero. Rules are those of
/// torchvision's `roi_align` and ONNX `RoiAlign`; coordinates are computed in double. Half types are computed in `f32`;
/// integers in `f64`, rounded once by [`RoiAlignParams::rounding`] and saturated.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{Roi, RoiAlignParams, roi_align};
///
/// let x = array![[[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]].into_dyn();
/// let whole = Roi { image: 0, corners: [0.0, 0.0, 3.0, 3.0] };
/// let params = RoiAlignParams { aligned: true, sampling_ratio: 1, ..RoiAlignParams::new([3, 3]) };
/// assert_eq!(roi_align(&x.view(), &[whole], &params)?, x); // each bin is read in the middle of an element
/// let right = Roi { image: 0, corners: [1.5, 0.0, 2.5, 2.0] };
/// let y = roi_align(&x.view(), &[right], &RoiAlignParams { aligned: true, ..RoiAlignParams::new([1, 1]) })?;
/// assert_eq!(y, array![[[[4.0]]]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter or the box that does not fit, [`Error::Index`] if it is the image of a box; or if memory cannot
/// be had.
pub fn roi_align<T: Linear>(x: &ArrayViewD<'_, T>, boxes: &[Roi], p: &RoiAlignParams) -> Result<ArrayD<T>> {
    named("roi_align", || {
        let plan = align_plan::<T>(x.shape(), boxes, p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.align_forward(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`roi_align`] into `out`.
///
/// # Errors
/// As [`roi_align`], and if `out` has another shape.
pub fn roi_align_into<T: Linear>(
    x: &ArrayViewD<'_, T>,
    boxes: &[Roi],
    p: &RoiAlignParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("roi_align", || {
        let plan = align_plan::<T>(x.shape(), boxes, p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.align_forward(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

fn align_gradient<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: Option<&ArrayViewD<'_, T>>,
    boxes: &[Roi],
    p: &RoiAlignParams,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    let plan = align_plan::<T>(out.shape(), boxes, p)?;
    require_shape("grad_output", grad.shape(), &plan.out_shape)?;
    match (p.mode, x) {
        (RoiMode::Average, _) => plan.align_backward(&View::from(grad), None, &mut ViewMut::from(out)),
        (RoiMode::Maximum, Some(x)) => {
            require_shape("x", x.shape(), &plan.in_shape)?;
            plan.align_backward(&View::from(grad), Some(&View::from(x)), &mut ViewMut::from(out))
        }
        (RoiMode::Maximum, None) => Err(Error::value("x = None: mode = Maximum needs the forward's input")),
    }
}

/// The gradient by the images of [`roi_align`], for images of shape `input_shape` and the same boxes and parameters:
/// where boxes overlap, gradients are added in the order of the boxes. `x`, the forward's images, is needed for
/// [`RoiMode::Maximum`] only; a maximum's gradient goes to the first element in row-major order that has it.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{Roi, RoiAlignParams, roi_align_backward};
///
/// let middle = Roi { image: 0, corners: [1.0, 1.0, 2.0, 2.0] };
/// let params = RoiAlignParams { aligned: true, ..RoiAlignParams::new([1, 1]) };
/// let grad = array![[[[8.0_f32]]]].into_dyn();
/// let dx = roi_align_backward(&grad.view(), None, &[middle], &[1, 1, 2, 3], &params)?;
/// assert_eq!(dx, array![[[[0.0, 0.0, 0.0], [0.0, 8.0, 0.0]]]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`roi_align`]; if the gradient has not the shape of the result; if a maximum's `x` is missing.
pub fn roi_align_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: Option<&ArrayViewD<'_, T>>,
    boxes: &[Roi],
    input_shape: &[usize],
    p: &RoiAlignParams,
) -> Result<ArrayD<T>> {
    named("roi_align_backward", || {
        align_plan::<T>(input_shape, boxes, p)?;
        let mut out = fresh(input_shape)?;
        align_gradient(grad, x, boxes, p, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`roi_align_backward`] into `out`, whose shape is the images'.
///
/// # Errors
/// As [`roi_align_backward`].
pub fn roi_align_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: Option<&ArrayViewD<'_, T>>,
    boxes: &[Roi],
    p: &RoiAlignParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("roi_align_backward", || align_gradient(grad, x, boxes, p, &mut out))
}

/// Rounds every box to whole elements, cuts it into bins and takes the largest element of each (`RoIPool`): `x` of shape
/// `(N, C, H, W)` gives `(boxes, C, bins along H, bins along W)`.
///
/// Corners are rounded, halves away from zero, and both belong to the box, which has at least one element. Of a side of
/// `n` elements, bin `o` of `b` takes `floor(o*n/b) .. ceil((o + 1)*n/b)`. A bin outside the image is 0. A NaN wins; of
/// zeros the result is the positive one. Rules are those of torchvision's `roi_pool` and ONNX `MaxRoiPool`, with exact
/// arithmetic for the bins.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{Roi, RoiPoolParams, roi_pool};
///
/// let x = array![[[[1_u8, 2, 3], [4, 5, 6], [7, 8, 9]]]].into_dyn();
/// let box_ = Roi { image: 0, corners: [0.0, 1.0, 2.0, 1.6] }; // columns 0 to 2, rows 1 and 2
/// assert_eq!(roi_pool(&x.view(), &[box_], &RoiPoolParams::new([2, 2]))?, array![[[[5, 6], [8, 9]]]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`roi_align`].
pub fn roi_pool<T: Ordered>(x: &ArrayViewD<'_, T>, boxes: &[Roi], p: &RoiPoolParams) -> Result<ArrayD<T>> {
    named("roi_pool", || {
        let plan = pool_plan::<T>(x.shape(), boxes, p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.pool_forward(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`roi_pool`] into `out`.
///
/// # Errors
/// As [`roi_pool`], and if `out` has another shape.
pub fn roi_pool_into<T: Ordered>(
    x: &ArrayViewD<'_, T>,
    boxes: &[Roi],
    p: &RoiPoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("roi_pool", || {
        let plan = pool_plan::<T>(x.shape(), boxes, p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.pool_forward(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// The gradient by the images of [`roi_pool`]: each goes to the first element in row-major order that is its bin's
/// maximum; where several meet they are added, in the order of the boxes.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{Roi, RoiPoolParams, roi_pool_backward};
///
/// let x = array![[[[1.0_f32, 5.0], [5.0, 2.0]]]].into_dyn();
/// let whole = Roi { image: 0, corners: [0.0, 0.0, 1.0, 1.0] };
/// let grad = array![[[[3.0_f32]]]].into_dyn();
/// let dx = roi_pool_backward(&grad.view(), &x.view(), &[whole], &RoiPoolParams::new([1, 1]))?;
/// assert_eq!(dx, array![[[[0.0, 3.0], [0.0, 0.0]]]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`roi_pool`], and if the gradient has not the shape of the result.
pub fn roi_pool_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: &ArrayViewD<'_, T>,
    boxes: &[Roi],
    p: &RoiPoolParams,
) -> Result<ArrayD<T>> {
    named("roi_pool_backward", || {
        let plan = pool_plan::<T>(x.shape(), boxes, p)?;
        require_shape("grad_output", grad.shape(), &plan.out_shape)?;
        let mut out = fresh(x.shape())?;
        plan.pool_backward(&View::from(grad), &View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`roi_pool_backward`] into `out`, whose shape is that of `x`.
///
/// # Errors
/// As [`roi_pool_backward`].
pub fn roi_pool_backward_into<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: &ArrayViewD<'_, T>,
    boxes: &[Roi],
    p: &RoiPoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("roi_pool_backward", || {
        let plan = pool_plan::<T>(x.shape(), boxes, p)?;
        require_shape("grad_output", grad.shape(), &plan.out_shape)?;
        require_shape("out", out.shape(), x.shape())?;
        plan.pool_backward(&View::from(grad), &View::from(x), &mut ViewMut::from(&mut out))
    })
}
