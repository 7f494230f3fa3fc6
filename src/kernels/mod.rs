//! Inner loops: slices in, slices out. Safe, inlined into each instruction-set level, blind to shapes and padding.
#![forbid(unsafe_code)]

pub mod argmax;
pub mod conv;
pub mod down;
pub mod gather;
pub mod index;
pub mod reduce;
pub mod resample;
