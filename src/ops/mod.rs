//! Operations: parameters, one planner for forward and backward, and the run.
//!
//! A planner checks everything that can be wrong before anything is allocated or written. The functions here take and
//! fill [`View`](crate::layout::View)s; [`crate::arrays`] wraps them for ndarray.
#![forbid(unsafe_code)]

pub mod conv;
pub mod fractional;
pub mod index;
pub mod moves;
mod norm_gradient;
pub mod pool;
pub mod pool_gradient;
mod precision;
pub mod resample;
pub mod roi;
mod roi_backward;
mod roi_forward;
mod roi_sides;
mod separable;
