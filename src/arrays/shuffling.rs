//! Shuffles between channels and space, and of channels.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{fresh, named, require_shape};
use crate::element::Element;
use crate::error::Result;
use crate::layout::{View, ViewMut};
use crate::ops::shuffle::{BlockParams, BlockPlan, ChannelPlan};

/// Makes blocks of elements out of channels: with [`BlockParams::pixel`] a pixel shuffle.
///
/// ```
/// use ndarray::ArrayD;
/// use upsample_rs::{BlockParams, depth_to_space};
///
/// let x = ArrayD::from_shape_vec(vec![4, 1, 2], (0..8).collect()).unwrap();
/// let y = depth_to_space(&x.view(), &BlockParams::pixel(&[2, 2]))?;
/// assert_eq!(y, ArrayD::from_shape_vec(vec![1, 2, 4], vec![0, 2, 1, 3, 4, 6, 5, 7]).unwrap());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn depth_to_space<T: Element>(x: &ArrayViewD<'_, T>, p: &BlockParams) -> Result<ArrayD<T>> {
    named("depth_to_space", || {
        let plan = BlockPlan::to_space(x.shape(), size_of::<T>(), p, "block")?;
        let mut out = fresh(&plan.wide_shape)?;
        plan.spread(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`depth_to_space`] into `out`.
///
/// # Errors
/// As [`depth_to_space`], and if `out` has another shape.
pub fn depth_to_space_into<T: Element>(
    x: &ArrayViewD<'_, T>,
    p: &BlockParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("depth_to_space", || {
        let plan = BlockPlan::to_space(x.shape(), size_of::<T>(), p, "block")?;
        require_shape("out", out.shape(), &plan.wide_shape)?;
        plan.spread(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// Makes channels out of blocks of elements: what undoes [`depth_to_space`] of the same parameters, and its gradient.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{BlockParams, space_to_depth};
///
/// let x = array![[0, 1, 2, 3, 4, 5]].into_dyn();
/// assert_eq!(space_to_depth(&x.view(), &BlockParams::new(&[3]))?, array![[0, 3], [1, 4], [2, 5]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`depth_to_space`].
pub fn space_to_depth<T: Element>(x: &ArrayViewD<'_, T>, p: &BlockParams) -> Result<ArrayD<T>> {
    named("space_to_depth", || {
        let plan = BlockPlan::to_depth(x.shape(), size_of::<T>(), p, "block")?;
        let mut out = fresh(&plan.deep_shape)?;
        plan.stack(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`space_to_depth`] into `out`.
///
/// # Errors
/// As [`depth_to_space_into`].
pub fn space_to_depth_into<T: Element>(
    x: &ArrayViewD<'_, T>,
    p: &BlockParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("space_to_depth", || {
        let plan = BlockPlan::to_depth(x.shape(), size_of::<T>(), p, "block")?;
        require_shape("out", out.shape(), &plan.deep_shape)?;
        plan.stack(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// Deals the channels of every group out: channel `g*n + i`, `i` of the `n` of group `g`, becomes `i*groups + g`. The
/// channel axis is the second, or with `channels_last` the last.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::channel_shuffle;
///
/// let x = array![[0, 1, 2, 3, 4, 5]].into_dyn();
/// assert_eq!(channel_shuffle(&x.view(), 2, false)?, array![[0, 3, 1, 4, 2, 5]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// If the groups do not divide the channels; or if memory cannot be had.
pub fn channel_shuffle<T: Element>(x: &ArrayViewD<'_, T>, groups: usize, channels_last: bool) -> Result<ArrayD<T>> {
    named("channel_shuffle", || {
        let plan = ChannelPlan::new(x.shape(), groups, channels_last)?;
        let mut out = fresh(&plan.shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`channel_shuffle`] into `out`.
///
/// # Errors
/// As [`channel_shuffle`], and if `out` has another shape.
pub fn channel_shuffle_into<T: Element>(
    x: &ArrayViewD<'_, T>,
    groups: usize,
    channels_last: bool,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("channel_shuffle", || {
        let plan = ChannelPlan::new(x.shape(), groups, channels_last)?;
        require_shape("out", out.shape(), &plan.shape)?;
        plan.forward(&View::from(x), &mut ViewMut::from(&mut out))
    })
}
