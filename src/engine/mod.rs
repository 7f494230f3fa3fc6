//! How work runs: which instruction set, which thread, and how caller memory becomes rows a kernel can read.
//! Generic over the kernel; names none.

pub mod parallel;
pub mod pipeline;
pub mod places;
pub mod rows;
pub mod simd;
