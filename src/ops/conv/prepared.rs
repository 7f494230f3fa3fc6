//! A convolution whose weight has been converted and put in order once, for many inputs.
//!
//! Both kinds keep it as `[group][output channel][input channel][tap]` in the computed type: what the plain call converts
//! each time for half types. The order in which tiles read it depends on the machine and is kept from the first call on.
//! Sums are done in the same order as in the plain call, so results are the same bits.

use std::cell::Cell;
use std::sync::Arc;

use super::map::{Kept, Weight};
use super::{ConvParams, ConvPlan, Kind, channels};
use crate::element::{Codec, Multiplied};
use crate::engine::products::Place;
use crate::engine::room::scratch;
use crate::engine::rows::At;
use crate::error::{Error, Result, Shape};
use crate::geometry::taps::reserved;
use crate::geometry::window::{AxisName, Pad, Padding};
use crate::layout::{Grid, View, ViewMut};

/// A weight, a bias and the parameters that go with them, ready for any input.
#[derive(Debug, Clone)]
pub struct PreparedConv<T: Multiplied> {
    params: ConvParams,
    shape: WeightShape,
    weight: Vec<T::Product>,
    bias: Option<Vec<T::Product>>,
    kept: Arc<Kept<T::Product>>,
}

/// The weight's shape, as the caller has it and by meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WeightShape {
    given: Vec<usize>,
    rank: usize,
    groups: usize,
    /// Input and output channels of one group.
    ins: usize,
    outs: usize,
    /// Kernel lengths `[D, H, W]`.
    kernel: [usize; 3],
    /// Whether the first axis is the output's channels.
    out_first: bool,
}

impl WeightShape {
    /// Checks a weight against parameters, as a call with a fitting input would.
    fn new(given: &[usize], p: &ConvParams) -> Result<Self> {
        let rank = p.rank();
        p.check_entries()?;
        if given.len() != rank && given.len() != rank + 2 {
            return Err(Error::value(format!(
                "weight.ndim = {}: must be {}, two channel axes and {rank} spatial axes, or {rank} for a bare array",
                given.len(),
                rank + 2
            )));
        }
        let bare = given.len() == rank;
        if p.groups == 0 || bare && p.groups != 1 {
            let most = if bare { "1 for a bare array, which has one channel" } else { "at least 1" };
            return Err(Error::value(format!("groups = {}: must be {most}", p.groups)));
        }
        let out_first = p.kind == Kind::Forward;
        let [first, second] = if bare { [1, 1] } else { [given[0], given[1]] };
        if first % p.groups != 0 {
            return Err(Error::value(format!("groups = {}: must divide weight.shape[0] = {first}", p.groups)));
        }
        let ins = if out_first { second.checked_mul(p.groups) } else { Some(first) };
        let ins = ins.ok_or_else(|| Error::value(format!("groups = {}: too many input channels", p.groups)))?;
        let outs = if bare { 1 } else { channels(ins.max(1), given, p)? };
        let mut kernel = [1; 3];
        kernel[3 - rank..].copy_from_slice(&given[given.len() - rank..]);
        let (ins, outs) = (ins / p.groups, outs / p.groups);
        let shape = Self { given: given.to_vec(), rank, groups: p.groups, ins, outs, kernel, out_first };
        shape.check_axes(p)?;
        Ok(shape)
    }

    /// Checks what can be known of an axis before there is an input: a long one for a convolution, any for a transposed
    /// one.
    fn check_axes(&self, p: &ConvParams) -> Result<()> {
        let mut any = p.clone();
        for padding in &mut any.padding {
            if self.out_first || matches!(padding, Padding::Explicit(_)) {
                *padding = Padding::Explicit(Pad::default());
            }
        }
        if let Kind::Transposed { output_size, .. } = &mut any.kind {
            *output_size = None;
        }
        let len = if self.out_first { isize::MAX.unsigned_abs() } else { 1 };
        for index in 0..self.rank {
            let kernel = self.kernel[3 - self.rank + index];
            ConvPlan::axis(len, kernel, &any, AxisName { index, rank: self.rank })?;
        }
        Ok(())
    }

    fn bare(&self) -> bool {
        self.given.len() == self.rank
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Blocks of the caller's weight, one for each pair of channels, in the order in which they are kept.
    fn blocks(&self) -> impl Iterator<Item = usize> {
        let &Self { groups, ins, outs, out_first, .. } = self;
        let pairs = move |g: usize| (0..outs).flat_map(move |o| (0..ins).map(move |i| (g, o, i)));
        let place = move |(g, o, i)| if out_first { (g * outs + o) * ins + i } else { (g * ins + i) * outs + o };
        (0..groups).flat_map(pairs).map(place)
    }

    /// Each row of each block, in the order in which they are kept.
    fn rows(&self) -> impl Iterator<Item = At> {
        let [depth, height, _] = self.kernel;
        let all = (0..depth).flat_map(move |d| (0..height).map(move |h| (d, h)));
        self.blocks().flat_map(move |block| all.clone().map(move |(d, h)| At { block, d, h }))
    }
}

impl<T: Multiplied> PreparedConv<T> {
    /// Prepares a weight and a bias; later changes of either change nothing here.
    ///
    /// # Errors
    /// Names the parameter that does not fit; or if memory cannot be had.
    pub fn new(weight: &View<'_, T>, bias: Option<&View<'_, T>>, p: &ConvParams) -> Result<Self> {
        let shape = WeightShape::new(weight.shape, p)?;
        let count = shape.groups * shape.outs;
        let codec = T::ProductCodec::default();
        let mut start = None;
        if let Some(bias) = bias {
            if *bias.shape != [count] {
                return Err(Error::value(format!("bias.shape = {}: must be ({count},)", Shape(bias.shape))));
            }
            let mut values = reserved(count)?;
            values.extend(bias.elements().map(|(_, b)| codec.load(b)));
            start = Some(values);
        }
        let grid = Grid::channels_outside(weight.ptr, weight.shape, weight.strides, shape.rank, false);
        let mut packed = reserved(grid.blocks() * shape.taps())?;
        let cols = 0..shape.kernel[2];
        let mut row = scratch(cols.len())?;
        for at in shape.rows() {
            packed.extend(grid.load(codec, at, &cols, &mut row).iter().map(Cell::get));
        }
        Ok(Self { params: p.clone(), shape, weight: packed, bias: start, kept: Arc::default() })
    }

    /// Checks an input's shape.
    ///
    /// # Errors
    /// Names what does not fit.
    pub fn plan(&self, x: &[usize]) -> Result<ConvPlan> {
        let (rank, shape) = (self.shape.rank, &self.shape);
        if shape.bare() {
            if x.len() != rank {
                return Err(Error::value(format!("x.ndim = {}: must be {rank}, that of the bare weight", x.len())));
            }
        } else if x.len() == rank + 1 || x.len() == rank + 2 {
            let axis = if self.params.channels_last { x.len() - 1 } else { x.len() - rank - 1 };
            let ins = shape.groups * shape.ins;
            if x[axis] != ins {
                return Err(Error::value(format!(
                    "x.shape[{axis}] = {}: must be {ins}, the channels the weight was prepared for",
                    x[axis]
                )));
            }
        } else {
            return Err(Error::value(format!(
                "x.ndim = {}: must be {} (batch, channels and {rank} spatial axes) or {} (channels)",
                x.len(),
                rank + 2,
                rank + 1
            )));
        }
        ConvPlan::new(x, &shape.given, None, size_of::<T>(), &self.params)
    }

    /// The convolution of an input that `plan`, of this, was made for.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn run(&self, plan: &ConvPlan, x: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        let &WeightShape { ins, outs, kernel: [_, h, w], .. } = &self.shape;
        let taps = self.shape.taps();
        let strides = [outs * ins * taps, ins * taps, taps].map(usize::cast_signed);
        let place = Place {
            origin: self.weight.as_ptr(),
            outer: [strides[1], strides[2]],
            spatial: [h * w, w, 1].map(usize::cast_signed),
        };
        plan.apply(x, (Weight { place, strides }, Some(&self.kept)), self.bias.as_deref(), out)
    }

    /// The parameters it was prepared with.
    #[must_use]
    pub fn params(&self) -> &ConvParams {
        &self.params
    }

    /// Shape of the weight that was prepared.
    #[must_use]
    pub fn weight_shape(&self) -> &[usize] {
        &self.shape.given
    }

    /// Entries of the bias, if there is one.
    #[must_use]
    pub fn bias_len(&self) -> Option<usize> {
        self.bias.as_ref().map(Vec::len)
    }

    /// Writes the weight as it was given.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or `out` has another shape.
    pub fn copy_weight(&self, out: &mut ViewMut<'_, T>) -> Result<()> {
        if *out.shape != *self.shape.given {
            return Err(Error::value(format!(
                "out.shape = {}: must be {}",
                Shape(out.shape),
                Shape(&self.shape.given)
            )));
        }
        let grid = Grid::channels_outside(out.ptr, out.shape, out.strides, self.shape.rank, false);
        let cols = 0..self.shape.kernel[2];
        let mut row = scratch(cols.len())?;
        for (at, kept) in self.shape.rows().zip(self.weight.chunks_exact(cols.len())) {
            row.copy_from_slice(kept);
            grid.store_from(T::ProductCodec::default(), at, &cols, &mut row);
        }
        Ok(())
    }

    /// Writes the bias as it was given, if there is one.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or `out` has another shape.
    pub fn copy_bias(&self, out: &mut ViewMut<'_, T>) -> Result<()> {
        let Some(bias) = &self.bias else { return Ok(()) };
        if *out.shape != [bias.len()] {
            return Err(Error::value(format!("out.shape = {}: must be ({},)", Shape(out.shape), bias.len())));
        }
        let grid = Grid::channels_outside(out.ptr, out.shape, out.strides, 1, false);
        let mut row = scratch(bias.len())?;
        row.copy_from_slice(bias);
        grid.store_from(T::ProductCodec::default(), At { block: 0, d: 0, h: 0 }, &(0..bias.len()), &mut row);
        Ok(())
    }
}
