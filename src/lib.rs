//! Upsampling and pooling of n-dimensional arrays on the CPU.
//!
//! Every operation takes ndarray views with any strides and returns or fills ndarray arrays; results are the same bits
//! at any number of threads. The Python package `upsample_rs` is built from this crate with the feature `python`.

pub mod element;
pub mod engine;
pub mod error;
pub mod geometry;
pub mod kernels;
pub mod layout;
pub mod ops;

#[cfg(feature = "python")]
mod python;

pub use error::{Error, Result};
