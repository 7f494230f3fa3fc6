//! How work runs: which instruction set, which thread, and how caller memory becomes rows a kernel can read.
//! Generic over the kernel; names none.

pub(crate) mod apart;
pub mod channels;
pub mod direct;
pub(crate) mod exchange;
pub mod parallel;
pub mod pipeline;
pub mod places;
pub mod products;
pub mod room;
pub mod rows;
pub mod simd;
pub mod stamps;
pub mod tile;
pub mod winograd;
