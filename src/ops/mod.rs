//! Operations: parameters, one planner for forward and backward, and the run.
//!
//! A planner checks everything that can be wrong before anything is allocated or written. The functions here take and
//! fill [`View`](crate::layout::View)s; [`crate::arrays`] wraps them for ndarray.
#![forbid(unsafe_code)]

pub mod affine;
pub mod conv;
pub mod fold;
pub mod fractional;
pub mod grid;
mod grid_backward;
mod grid_forward;
pub mod index;
pub mod moves;
mod norm_gradient;
mod planes;
pub mod pool;
pub mod pool_gradient;
mod precision;
pub mod resample;
pub mod resize;
mod resize_part;
pub mod resize_run;
pub mod roi;
mod roi_backward;
mod roi_forward;
mod roi_sides;
mod separable;
pub mod shuffle;
