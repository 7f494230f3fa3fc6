//! Upsampling and pooling of n-dimensional arrays on the CPU: right, fast, deterministic.
//!
//! Interpolation, resizing, bed of nails, pooling of every kind and unpooling, convolution and transposed convolution, forward and
//! backward, along one to three spatial axes, channels first or last, on ndarray views of any strides. Results are the
//! same bits at any number of threads. The Python package `upsample_rs` is this crate with the feature `python`.
//!
//! ```
//! use ndarray::array;
//! use upsample_rs::{InterpolateParams, Mode, PoolParams, Target, interpolate, max_pool};
//!
//! let image = array![[0.0_f32, 1.0], [2.0, 3.0]].into_dyn();
//! let params = InterpolateParams::new(Mode::Linear, Target::Size(vec![4, 4]));
//! let large = interpolate(&image.view(), &params)?;
//! assert_eq!(large.shape(), [4, 4]);
//! let pooled = max_pool(&large.t(), &PoolParams::new(&[2, 2]))?; // a transposed view: nothing is copied first
//! assert_eq!(pooled, array![[0.75, 2.25], [1.5, 3.0]].into_dyn());
//! # Ok::<(), upsample_rs::Error>(())
//! ```
//!
//! # Where things are
//!
//! | module | what it holds |
//! |---|---|
//! | [`arrays`] | the functions to call, re-exported here: ndarray views in, ndarray arrays out |
//! | [`ops`] | their parameters and planners, which check everything, and the operations on raw [`layout::View`]s |
//! | [`geometry`] | windows, coordinates, taps and phases of one axis, as data |
//! | [`kernels`] | inner loops over contiguous slices |
//! | [`engine`] | instruction sets, threads, and the rows of caller memory |
//! | [`layout`] | shapes and strides as one canonical view `[outer, D, H, W, inner]` |
//! | [`element`] | element types: how each is widened, ordered, summed and rounded |
//! | [`error`] | the one error type |
//!
//! Threads are set with [`set_num_threads`] or `UPSAMPLE_RS_NUM_THREADS`; the instruction set is found at run time, and
//! `UPSAMPLE_RS_ISA` = `scalar`, `avx2` or `avx512` lowers it.

pub mod arrays;
pub mod element;
pub mod engine;
pub mod error;
pub mod geometry;
pub mod kernels;
pub mod layout;
pub mod ops;

#[cfg(feature = "python")]
mod python;

pub use arrays::*;
pub use element::Rounding;
pub use engine::parallel::{num_threads, set_num_threads};
pub use error::{Error, Result};
pub use geometry::coords::{Coordinates, NearestRounding};
pub use geometry::grid::{Filter, Outside};
pub use geometry::sampler::Edge;
pub use geometry::window::{Pad, Padding};
pub use ops::conv::{ConvParams, Kind, PreparedConv};
pub use ops::fold::FoldParams;
pub use ops::fractional::{FractionalParams, OutputLens, Samples};
pub use ops::grid::GridSampleParams;
pub use ops::index::Duplicates;
pub use ops::moves::NailsParams;
pub use ops::pool::{Divisor, PoolParams};
pub use ops::resample::{InterpolateParams, Mode, Target};
pub use ops::resize::{Aspect, ResizeMethod, ResizeParams};
pub use ops::roi::{Roi, RoiAlignParams, RoiMode, RoiPoolParams};
pub use ops::shuffle::{BlockMode, BlockParams};
