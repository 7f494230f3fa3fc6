//! Shuffles between channels and space: every element is moved, none is computed or left out.
//!
//! Cut into parts, the axes of the deep array (many channels) and of the wide one (long spatial axes) are the same, in
//! another order: batch, channels, blocks, space. So a shuffle is an exchange (`engine/exchange.rs`) of one for the
//! other, and its gradient is the same the other way round.

use crate::engine::exchange::exchange;
use crate::error::{Error, Result};
use crate::geometry::window::AxisName;
use crate::layout::{Axes, Cuts, Recut, RecutMut, View, ViewMut, element_count};

/// Which of a deep array's channels become neighbours in space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlockMode {
    /// Depth, column, row: the position in the block is the outer part of the channel number, `(b0*B1 + b1)*C + c`.
    #[default]
    Dcr,
    /// Column, row, depth: it is the inner part, `(c*B0 + b0)*B1 + b1`, as in a pixel shuffle.
    Crd,
}

/// Parameters of a shuffle between channels and space; `block` has one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockParams {
    /// Elements of a block along each spatial axis.
    pub block: Vec<usize>,
    /// Order of the channels.
    pub mode: BlockMode,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl BlockParams {
    /// Blocks in the order of ONNX and TensorFlow, channels first.
    #[must_use]
    pub fn new(block: &[usize]) -> Self {
        Self { block: block.to_vec(), mode: BlockMode::Dcr, channels_last: false }
    }

    /// A pixel shuffle: blocks in the order of PyTorch, channels first.
    #[must_use]
    pub fn pixel(factor: &[usize]) -> Self {
        Self { mode: BlockMode::Crd, ..Self::new(factor) }
    }
}

/// A checked shuffle between a deep array and a wide one.
#[derive(Debug, Clone)]
pub struct BlockPlan {
    /// Shape of the array with the channels.
    pub deep_shape: Vec<usize>,
    /// Shape of the array with the long spatial axes.
    pub wide_shape: Vec<usize>,
    deep: Cuts,
    wide: Cuts,
}

/// Axes of a shape with a channel axis, which is needed, and where it is.
fn axes_with_channels(shape: &[usize], rank: usize, channels_last: bool) -> Result<(Axes, usize)> {
    let axes = Axes::new(shape.len(), rank, channels_last)?;
    if channels_last {
        return Ok((axes, shape.len() - 1));
    }
    let Some(channel) = axes.first().checked_sub(1) else {
        return Err(Error::value(format!(
            "x.ndim = {rank}: must be at least {}, for a channel axis and {rank} spatial axes",
            rank + 1
        )));
    };
    Ok((axes, channel))
}

impl BlockPlan {
    /// Checks a shuffle of blocks, of which `name` is the parameter, from channels to space for an array of this shape
    /// whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn to_space(shape: &[usize], itemsize: usize, p: &BlockParams, name: &str) -> Result<Self> {
        let (axes, channel, elements) = Self::checked(shape, p, name)?;
        if !shape[channel].is_multiple_of(elements) {
            return Err(Error::value(format!(
                "x.shape[{channel}] = {} channels: must be a multiple of {elements}, the product of {name}",
                shape[channel]
            )));
        }
        let mut wide = shape.to_vec();
        wide[channel] /= elements;
        for (i, &b) in p.block.iter().enumerate() {
            let len = &mut wide[axes.first() + i];
            *len = len.checked_mul(b).filter(|&n| isize::try_from(n).is_ok()).ok_or_else(|| {
                Error::value(format!("{name}[{i}] = {b}: makes an axis of {len} elements longer than 2**63"))
            })?;
        }
        Self::between(shape, &wide, itemsize, p, (axes, channel))
    }

    /// As [`BlockPlan::to_space`], from space to channels.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn to_depth(shape: &[usize], itemsize: usize, p: &BlockParams, name: &str) -> Result<Self> {
        let (axes, channel, elements) = Self::checked(shape, p, name)?;
        let mut deep = shape.to_vec();
        for (i, &b) in p.block.iter().enumerate() {
            let at = axes.first() + i;
            if !shape[at].is_multiple_of(b) {
                let letter = AxisName { index: i, rank: axes.rank }.letter();
                return Err(Error::value(format!(
                    "x.shape[{at}] = {} elements along axis {letter}: must be a multiple of {name}[{i}] = {b}",
                    shape[at]
                )));
            }
            deep[at] /= b;
        }
        deep[channel] =
            shape[channel].checked_mul(elements).filter(|&n| isize::try_from(n).is_ok()).ok_or_else(|| {
                Error::value(format!(
                    "{name} = {elements} elements: makes more than 2**63 channels of {}",
                    shape[channel]
                ))
            })?;
        Self::between(&deep, shape, itemsize, p, (axes, channel))
    }

    /// The spatial axes, the channel axis, and the elements of a block.
    fn checked(shape: &[usize], p: &BlockParams, name: &str) -> Result<(Axes, usize, usize)> {
        let (axes, channel) = axes_with_channels(shape, p.block.len(), p.channels_last)?;
        if let Some(i) = p.block.iter().position(|&b| b == 0) {
            return Err(Error::value(format!("{name}[{i}] = 0: must be at least 1")));
        }
        if axes.spatial(shape).contains(&0) {
            return Err(Error::value("x.shape = 0 elements along a spatial axis: must be at least 1"));
        }
        let elements = p.block.iter().try_fold(1usize, |n, &b| n.checked_mul(b));
        let elements = elements.filter(|&n| isize::try_from(n).is_ok()).ok_or_else(|| {
            let block: Vec<_> = p.block.iter().map(ToString::to_string).collect();
            Error::value(format!("{name} = ({}): a block has more than 2**63 elements", block.join(", ")))
        })?;
        Ok((axes, channel, elements))
    }

    fn between(
        deep: &[usize],
        wide: &[usize],
        itemsize: usize,
        p: &BlockParams,
        (axes, channel): (Axes, usize),
    ) -> Result<Self> {
        element_count(deep, itemsize)?;
        element_count(wide, itemsize)?;
        let (rank, first) = (axes.rank, axes.first());
        let mut deep_parts: Vec<_> = deep.iter().map(|&n| vec![n]).collect();
        let mut wide_parts: Vec<_> = wide.iter().map(|&n| vec![n]).collect();
        deep_parts[channel] = match p.mode {
            BlockMode::Dcr => [&p.block[..], &[wide[channel]]].concat(),
            BlockMode::Crd => [&[wide[channel]], &p.block[..]].concat(),
        };
        for i in 0..rank {
            wide_parts[first + i] = vec![deep[first + i], p.block[i]];
        }
        // The wide array's parts in their own order, and of each the number it has among the deep array's.
        let in_deep = |axis: usize| axis + if axis > channel { rank } else { 0 };
        let (depth, block) = match p.mode {
            BlockMode::Dcr => (channel + rank, channel),
            BlockMode::Crd => (channel, channel + 1),
        };
        let mut order = Vec::with_capacity(deep.len() + rank);
        for axis in 0..deep.len() {
            if axis == channel {
                order.push(depth);
            } else {
                order.push(in_deep(axis));
            }
            if (first..first + rank).contains(&axis) {
                order.push(block + axis - first);
            }
        }
        Ok(Self {
            deep_shape: deep.to_vec(),
            wide_shape: wide.to_vec(),
            deep: Cuts { parts: deep_parts, order },
            wide: Cuts { order: (0..deep.len() + rank).collect(), parts: wide_parts },
        })
    }

    /// From channels to space.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn spread<T: Copy + Send + Sync + 'static>(&self, deep: &View<'_, T>, wide: &mut ViewMut<'_, T>) -> Result<()> {
        recut(deep, &self.deep, wide, &self.wide)
    }

    /// From space to channels.
    ///
    /// # Errors
    /// As [`BlockPlan::spread`].
    pub fn stack<T: Copy + Send + Sync + 'static>(&self, wide: &View<'_, T>, deep: &mut ViewMut<'_, T>) -> Result<()> {
        recut(wide, &self.wide, deep, &self.deep)
    }
}

/// Copies one array to the other by the axes that their cuts make of theirs.
pub(super) fn recut<T: Copy + Send + Sync + 'static>(
    x: &View<'_, T>,
    x_cuts: &Cuts,
    out: &mut ViewMut<'_, T>,
    out_cuts: &Cuts,
) -> Result<()> {
    if x.shape.contains(&0) {
        return Ok(());
    }
    let (x, mut out) = (Recut::new(*x, x_cuts), RecutMut::new(out.reborrow(), out_cuts));
    exchange(&x.view(), &mut out.view())
}

/// A checked shuffle of channels between groups.
#[derive(Debug, Clone)]
pub struct ChannelPlan {
    /// Shape of input and result.
    pub shape: Vec<usize>,
    x: Cuts,
    out: Cuts,
}

impl ChannelPlan {
    /// Checks the shuffle of the channels of an array of this shape: its second axis, or the last.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(shape: &[usize], groups: usize, channels_last: bool) -> Result<Self> {
        if shape.len() < 2 || shape.len() > crate::layout::MAX_NDIM {
            return Err(Error::value(format!(
                "x.ndim = {}: must be from 2 to {}, batch and channels among them",
                shape.len(),
                crate::layout::MAX_NDIM
            )));
        }
        let channel = if channels_last { shape.len() - 1 } else { 1 };
        if groups == 0 {
            return Err(Error::value("groups = 0: must be at least 1"));
        }
        if !shape[channel].is_multiple_of(groups) {
            return Err(Error::value(format!(
                "groups = {groups}: must divide the number of channels, x.shape[{channel}] = {}",
                shape[channel]
            )));
        }
        let cut = |parts: [usize; 2]| {
            let mut all: Vec<_> = shape.iter().map(|&n| vec![n]).collect();
            all[channel] = parts.to_vec();
            all
        };
        let each = shape[channel] / groups;
        let order: Vec<_> = (0..=shape.len()).collect();
        let mut turned = order.clone();
        turned.swap(channel, channel + 1);
        Ok(Self {
            shape: shape.to_vec(),
            x: Cuts { parts: cut([groups, each]), order: turned },
            out: Cuts { parts: cut([each, groups]), order },
        })
    }

    /// Channel `g*n + i` of `x`, `i` of the `n` of group `g`, becomes channel `i*groups + g` of `out`.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn forward<T: Copy + Send + Sync + 'static>(&self, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        recut(x, &self.x, out, &self.out)
    }

    /// Puts the channels back.
    ///
    /// # Errors
    /// As [`ChannelPlan::forward`].
    pub fn backward<T: Copy + Send + Sync + 'static>(&self, grad: &View<'_, T>, x: &mut ViewMut<'_, T>) -> Result<()> {
        recut(grad, &self.out, x, &self.x)
    }
}
