//! Inner loops: slices in, slices out. Safe, inlined into each instruction-set level, blind to shapes and padding.
#![forbid(unsafe_code)]

pub mod affine;
pub mod argmax;
pub mod blocks;
pub mod conv;
pub mod down;
pub mod fold;
pub mod fractional;
pub mod gather;
pub mod grid;
pub mod grid_gradient;
pub mod index;
pub mod norm;
pub mod pool_gradient;
pub mod reduce;
pub mod resample;
pub mod roi;
pub mod roi_gradient;
pub mod winograd;
