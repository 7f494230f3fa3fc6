//! The operations on ndarray arrays: views of any strides in, arrays out.
//!
//! Each operation comes as `op(&view, .., &params)`, which returns a new array in C order, and as `op_into(.., out)`,
//! which fills one of yours, of any strides. (New arrays are zeroed first, so that nothing here is unsafe; where results
//! of one shape are computed again and again, `_into` saves that and the fresh memory.) The number of spatial axes, 1
//! to 3, is the number of entries in the parameters; they are the last axes of the array, or with `channels_last` the
//! ones before the last. Any number of axes may precede them.
//!
//! A `_backward` takes the gradient of the result, what it needs of the forward's inputs, and the forward's own
//! parameters; the same planner checks both. Results are the same bits at any number of threads.
//!
//! Nothing here panics on any input: what does not fit is an [`Error`] that names the function and the parameter.
#![forbid(unsafe_code)]

mod averaging;
mod convolution;
mod folding;
mod fractional;
mod grid;
mod pooling;
mod resizing;
mod roi;
mod shuffling;
mod unpooling;
mod upsampling;

pub use averaging::{
    AvgPoolParams, LpPoolParams, adaptive_avg_pool, adaptive_avg_pool_backward, adaptive_avg_pool_backward_into,
    adaptive_avg_pool_into, avg_pool, avg_pool_backward, avg_pool_backward_into, avg_pool_into, lp_pool,
    lp_pool_backward, lp_pool_backward_into, lp_pool_into,
};
pub use convolution::{ConvGradients, conv, conv_backward, conv_into, conv_prepared, conv_prepared_into, prepare_conv};
pub use folding::{fold, fold_into, unfold, unfold_backward, unfold_into};
pub use fractional::{
    fractional_max_pool, fractional_max_pool_backward, fractional_max_pool_backward_into, fractional_max_pool_into,
    fractional_max_pool_with_indices, fractional_max_pool_with_indices_into,
};
pub use grid::{
    Coordinate, GridGradients, affine_grid, affine_grid_backward, affine_grid_into, grid_sample, grid_sample_backward,
    grid_sample_into, grid_sample_move, grid_sample_move_into,
};
pub use pooling::{
    AdaptiveParams, adaptive_max_pool, adaptive_max_pool_backward, adaptive_max_pool_backward_into,
    adaptive_max_pool_into, adaptive_max_pool_with_indices, adaptive_max_pool_with_indices_into, max_pool,
    max_pool_backward, max_pool_backward_into, max_pool_into, max_pool_with_indices, max_pool_with_indices_into,
    min_pool, min_pool_backward, min_pool_backward_into, min_pool_into, min_pool_with_indices,
    min_pool_with_indices_into,
};
pub use resizing::{resize, resize_backward, resize_backward_into, resize_into, resize_move, resize_move_into};
pub use roi::{
    roi_align, roi_align_backward, roi_align_backward_into, roi_align_into, roi_pool, roi_pool_backward,
    roi_pool_backward_into, roi_pool_into,
};
pub use shuffling::{
    channel_shuffle, channel_shuffle_into, depth_to_space, depth_to_space_into, space_to_depth, space_to_depth_into,
};
pub use unpooling::{
    UnpoolParams, max_unpool, max_unpool_backward, max_unpool_backward_into, max_unpool_into, max_unpool_move,
    max_unpool_move_into,
};
pub use upsampling::{
    bed_of_nails, bed_of_nails_backward, bed_of_nails_backward_into, bed_of_nails_into, interpolate,
    interpolate_backward, interpolate_backward_into, interpolate_into, interpolate_move, interpolate_move_into,
};

use half::{bf16, f16};
use ndarray::{ArrayD, IxDyn};

use crate::element::{Added, Element, Linear, Multiplied, Ordered};
use crate::error::{Error, Result, Shape};
use crate::layout::element_count;

/// Floating types, which gradients may have: `f16`, `bf16`, `f32` and `f64`.
pub trait Float: Linear + Ordered + Multiplied + Added {}
impl Float for f16 {}
impl Float for bf16 {}
impl Float for f32 {}
impl Float for f64 {}

/// Runs a function's body; its refusals name it.
fn named<R>(op: &'static str, run: impl FnOnce() -> Result<R>) -> Result<R> {
    run().map_err(|e| e.of(op))
}

/// A new array, or the refusal of the memory.
fn fresh<T: Element>(shape: &[usize]) -> Result<ArrayD<T>> {
    let count = element_count(shape, size_of::<T>())?;
    let mut elements = Vec::new();
    elements
        .try_reserve_exact(count)
        .map_err(|_| Error::memory(format!("cannot allocate a result of shape {}", Shape(shape))))?;
    elements.resize(count, T::default());
    ArrayD::from_shape_vec(IxDyn(shape), elements)
        .map_err(|_| Error::value(format!("output shape = {}: more than 2**63 elements", Shape(shape))))
}

fn require_shape(name: &str, found: &[usize], wanted: &[usize]) -> Result<()> {
    if found != wanted {
        return Err(Error::value(format!("{name}.shape = {}: must be {}", Shape(found), Shape(wanted))));
    }
    Ok(())
}

/// Checks that there are one to three spatial axes and as many entries in each of the other parameters.
fn require_entries(first: (&str, usize), others: &[(&str, usize)]) -> Result<()> {
    let (name, rank) = first;
    if !(1..=3).contains(&rank) {
        return Err(Error::value(format!(
            "{name} has {rank} entries: must have from 1 to 3, one for each spatial axis"
        )));
    }
    match others.iter().find(|(_, len)| *len != rank) {
        Some((other, len)) => Err(Error::value(format!("{other} has {len} entries: must have {rank}, as {name}"))),
        None => Ok(()),
    }
}
