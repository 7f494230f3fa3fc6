//! Convolution, transposed convolution, and the backward of both.
//!
//! All four linear maps (a convolution, a transposed one, and the gradient of either by its input) are one job, told
//! apart by the [`Links`] of their axes and by which weight axis is the output's. The gradient by the weight runs over
//! the same links with a dot product in place of the scaled addition.

mod bias_grad;
mod channels;
mod map;
mod prepared;
mod stamped;
mod weight_channels;
mod weight_grad;
mod winograd;

pub use prepared::PreparedConv;
pub use winograd::{Way, set_way, way};

use bias_grad::BiasGrad;
use map::{Kept, Map, Weight};
use weight_grad::WeightGrad;

use std::ops::Range;

use crate::element::{Codec, Multiplied};
use crate::engine::products::Place;
use crate::engine::room::scratch;
use crate::engine::rows::At;
use crate::error::{Error, Result, Shape};
use crate::geometry::phase::Links;
use crate::geometry::taps::reserved;
use crate::geometry::window::{AxisName, Pad, Padding, Windows, transposed_len};
use crate::layout::{Grid, View, ViewMut, element_count, require_entries};
use crate::ops::resize_part::check_ranges;

/// Which of the two convolutions, with what only it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Convolution (cross-correlation, as in every deep-learning library).
    Forward,
    /// Its transpose.
    Transposed {
        /// Elements added at the end of each axis; empty means none.
        output_padding: Vec<usize>,
        /// Output lengths, in place of `output_padding`.
        output_size: Option<Vec<usize>>,
    },
}

/// Parameters of a convolution, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvParams {
    /// Convolution or transposed convolution.
    pub kind: Kind,
    /// Distance between windows.
    pub stride: Vec<usize>,
    /// Padding (for a transposed convolution: of the convolution it reverses).
    pub padding: Vec<Padding>,
    /// Distance between the elements of a window.
    pub dilation: Vec<usize>,
    /// Independent groups of channels.
    pub groups: usize,
    /// Whether the channel axis of `x` and the result is the last one.
    pub channels_last: bool,
}

impl ConvParams {
    /// A convolution or transposed convolution along `rank` axes, everything at its default.
    #[must_use]
    pub fn new(rank: usize, kind: Kind) -> Self {
        Self {
            kind,
            stride: vec![1; rank],
            padding: vec![Padding::Explicit(Pad::default()); rank],
            dilation: vec![1; rank],
            groups: 1,
            channels_last: false,
        }
    }

    fn rank(&self) -> usize {
        self.stride.len()
    }

    /// Checks that every parameter has as many entries as there are axes, and that those are from one to three.
    fn check_entries(&self) -> Result<()> {
        let rank = self.rank();
        if !(1..=3).contains(&rank) {
            return Err(Error::value(format!("stride has {rank} entries: must have from 1 to 3")));
        }
        require_entries("padding", self.padding.len(), rank)?;
        require_entries("dilation", self.dilation.len(), rank)?;
        if let Kind::Transposed { output_padding, output_size } = &self.kind {
            if !output_padding.is_empty() {
                require_entries("output_padding", output_padding.len(), rank)?;
            }
            if let Some(size) = output_size {
                require_entries("output_size", size.len(), rank)?;
            }
        }
        Ok(())
    }
}

/// A checked convolution.
#[derive(Debug, Clone)]
pub struct ConvPlan {
    rank: usize,
    channels_last: bool,
    /// Whether the weight's first axis is the output's channels.
    out_first: bool,
    batch: usize,
    groups: usize,
    /// Input channels.
    in_channels: usize,
    /// Output channels.
    out_channels: usize,
    /// Kernel lengths `[D, H, W]`.
    kernel: [usize; 3],
    links: [Links; 3],
    /// What the plan is a part of, if it is one.
    whole: Option<Box<Whole>>,
    /// Shape of the input.
    pub x_shape: Vec<usize>,
    /// Shape of the weight.
    pub weight_shape: Vec<usize>,
    /// Shape of the result.
    pub out_shape: Vec<usize>,
}

/// All taps, of which a plan has those of some outputs, and the shape of all inputs.
#[derive(Debug, Clone)]
struct Whole {
    links: [Links; 3],
    x_shape: Vec<usize>,
    /// The first outputs of the part.
    starts: [usize; 3],
}

/// Channels, groups and axes of a call.
struct Roles {
    batch: usize,
    in_channels: usize,
    out_channels: usize,
    /// First spatial axis of `x`.
    x_first: usize,
    /// First spatial axis of the weight.
    weight_first: usize,
}

fn roles(x: &[usize], weight: &[usize], p: &ConvParams) -> Result<Roles> {
    let rank = p.rank();
    if x.len() == rank && weight.len() == rank {
        if p.groups != 1 {
            return Err(Error::value(format!(
                "groups = {}: must be 1 for a bare array, which has one channel",
                p.groups
            )));
        }
        return Ok(Roles { batch: 1, in_channels: 1, out_channels: 1, x_first: 0, weight_first: 0 });
    }
    if x.len() != rank + 1 && x.len() != rank + 2 {
        return Err(Error::value(format!(
            "x.ndim = {}: must be {} (batch, channels and {rank} spatial axes), {} (channels) or, with a bare weight, {rank}",
            x.len(),
            rank + 2,
            rank + 1
        )));
    }
    if weight.len() != rank + 2 {
        return Err(Error::value(format!(
            "weight.ndim = {}: must be {}, two channel axes and {rank} spatial axes",
            weight.len(),
            rank + 2
        )));
    }
    let batched = x.len() == rank + 2;
    let x_first = usize::from(batched) + usize::from(!p.channels_last);
    let in_channels = if p.channels_last { x[x.len() - 1] } else { x[usize::from(batched)] };
    let out_channels = channels(in_channels, weight, p)?;
    Ok(Roles { batch: if batched { x[0] } else { 1 }, in_channels, out_channels, x_first, weight_first: 2 })
}

/// Checks channels against groups and weight; returns the output's.
fn channels(in_channels: usize, weight: &[usize], p: &ConvParams) -> Result<usize> {
    let groups = p.groups;
    if groups == 0 {
        return Err(Error::value("groups = 0: must be at least 1"));
    }
    if in_channels == 0 {
        return Err(Error::value("x.shape = 0 channels: must be at least 1"));
    }
    if !in_channels.is_multiple_of(groups) {
        return Err(Error::value(format!("groups = {groups}: must divide the {in_channels} channels of x")));
    }
    for (axis, &len) in weight[..2].iter().enumerate() {
        if len == 0 {
            return Err(Error::value(format!("weight.shape[{axis}] = 0: must be at least 1")));
        }
    }
    if p.kind == Kind::Forward {
        if weight[1] != in_channels / groups {
            return Err(Error::value(format!(
                "weight.shape[1] = {}: must be {}, the channels of x / groups",
                weight[1],
                in_channels / groups
            )));
        }
        if !weight[0].is_multiple_of(groups) {
            return Err(Error::value(format!("groups = {groups}: must divide weight.shape[0] = {}", weight[0])));
        }
        return Ok(weight[0]);
    }
    if weight[0] != in_channels {
        return Err(Error::value(format!("weight.shape[0] = {}: must be {in_channels}, the channels of x", weight[0])));
    }
    weight[1].checked_mul(groups).ok_or_else(|| Error::value(format!("groups = {groups}: too many output channels")))
}

impl ConvPlan {
    /// Checks a convolution of arrays of these shapes whose elements have `itemsize` bytes.
    ///
    /// # Errors
    /// Names the parameter that does not fit.
    pub fn new(x: &[usize], weight: &[usize], bias: Option<&[usize]>, itemsize: usize, p: &ConvParams) -> Result<Self> {
        p.check_entries()?;
        let rank = p.rank();
        let r = roles(x, weight, p)?;
        if let Some(bias) = bias
            && *bias != [r.out_channels]
        {
            return Err(Error::value(format!("bias.shape = {}: must be ({},)", Shape(bias), r.out_channels)));
        }
        let (mut lens, mut outs, mut kernel) = ([1; 3], [1; 3], [1; 3]);
        let mut windows = [None; 3];
        for index in 0..rank {
            let at = 3 - rank + index;
            lens[at] = x[r.x_first + index];
            kernel[at] = weight[r.weight_first + index];
            let (len, window) = Self::axis(lens[at], kernel[at], p, AxisName { index, rank })?;
            (outs[at], windows[at]) = (len, Some(window));
        }
        let mut out_shape = x.to_vec();
        out_shape[r.x_first..r.x_first + rank].copy_from_slice(&outs[3 - rank..]);
        if x.len() > rank {
            let channel = if p.channels_last { x.len() - 1 } else { r.x_first - 1 };
            out_shape[channel] = r.out_channels;
        }
        element_count(&out_shape, itemsize)?;
        let link = |at: usize| {
            let (stride, dilation, pad) = windows[at].unwrap_or((1, 1, Pad::default()));
            match p.kind {
                Kind::Forward => Links::conv(&Windows {
                    in_len: lens[at],
                    out_len: outs[at],
                    kernel: kernel[at],
                    stride,
                    dilation,
                    pad,
                }),
                Kind::Transposed { .. } => Links::transposed(lens[at], outs[at], kernel[at], stride, dilation, pad),
            }
        };
        Ok(Self {
            rank,
            channels_last: p.channels_last,
            out_first: p.kind == Kind::Forward,
            batch: r.batch,
            groups: p.groups,
            in_channels: r.in_channels,
            out_channels: r.out_channels,
            kernel,
            links: [link(0)?, link(1)?, link(2)?],
            whole: None,
            x_shape: x.to_vec(),
            weight_shape: weight.to_vec(),
            out_shape,
        })
    }

    /// Output length of one axis, and its stride, dilation and explicit padding.
    fn axis(len: usize, kernel: usize, p: &ConvParams, name: AxisName) -> Result<(usize, (usize, usize, Pad))> {
        let i = name.index;
        let (stride, dilation) = (p.stride[i], p.dilation[i]);
        match &p.kind {
            Kind::Forward => {
                let w = Windows::conv(len, kernel, stride, dilation, p.padding[i], name)?;
                Ok((w.out_len, (stride, dilation, w.pad)))
            }
            Kind::Transposed { output_padding, output_size } => {
                let Padding::Explicit(pad) = p.padding[i] else {
                    return Err(Error::value("padding = 'same': a transposed convolution takes numbers"));
                };
                let extra = output_padding.get(i).copied().unwrap_or(0);
                let out = match output_size {
                    None => transposed_len(len, kernel, stride, dilation, pad, extra, name)?,
                    Some(size) => sized(len, kernel, stride, dilation, pad, size[i], name)?,
                };
                Ok((out, (stride, dilation, pad)))
            }
        }
    }

    /// The plan of some outputs alone, given as a range along every axis, and the range of inputs that it wants. Its
    /// results are the whole's, bit for bit.
    ///
    /// # Errors
    /// If a range is not within its axis, or there is not every output channel; or a table cannot be allocated.
    pub fn part(&self, outs: &[Range<usize>]) -> Result<(Self, Vec<Range<usize>>)> {
        check_ranges(outs, &self.out_shape)?;
        let ndim = outs.len();
        let batched = ndim == self.rank + 2;
        let first = ndim - self.rank - usize::from(self.channels_last && ndim > self.rank);
        let mut held = outs.to_vec();
        if ndim > self.rank {
            let channel = if self.channels_last { ndim - 1 } else { first - 1 };
            if outs[channel].len() != self.out_channels {
                let (found, wanted) = (outs[channel].len(), self.out_channels);
                return Err(Error::value(format!("part = {found} output channels: must be all {wanted}")));
            }
            held[channel] = 0..self.in_channels;
        }
        let mut links = self.links.clone();
        let mut starts = [0; 3];
        for (at, link) in links.iter_mut().enumerate().skip(3 - self.rank) {
            let axis = first + at + self.rank - 3;
            let reads = self.links[at].inputs(&outs[axis]);
            // One element at least, so that there is an array.
            held[axis] = if reads.is_empty() { 0..1 } else { reads };
            *link = self.links[at].part(&outs[axis], &held[axis])?;
            starts[at] = outs[axis].start;
        }
        let whole = Whole { links: self.links.clone(), x_shape: self.x_shape.clone(), starts };
        let whole = Some(Box::new(whole));
        let lens = |ranges: &[Range<usize>]| ranges.iter().map(Range::len).collect();
        let batch = if batched { outs[0].len() } else { 1 };
        Ok((Self { batch, links, whole, x_shape: lens(&held), out_shape: lens(outs), ..self.clone() }, held))
    }

    /// Checks a gradient's shape.
    ///
    /// # Errors
    /// If it is not the result's.
    pub fn check_grad(&self, shape: &[usize]) -> Result<()> {
        if *shape != *self.out_shape {
            return Err(Error::value(format!(
                "grad_output.shape = {}: must be the result's, {}",
                Shape(shape),
                Shape(&self.out_shape)
            )));
        }
        Ok(())
    }

    /// Number of output channels.
    #[must_use]
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    fn grid<P: Copy>(&self, ptr: P, shape: &[usize], strides: &[isize]) -> Grid<P> {
        Grid::channels_outside(ptr, shape, strides, self.rank, self.channels_last)
    }

    fn is_empty(&self) -> bool {
        self.batch == 0
    }

    /// The convolution.
    ///
    /// # Errors
    /// If scratch cannot be allocated, or the caller interrupts.
    pub fn forward<T: Multiplied>(
        &self,
        x: &View<'_, T>,
        weight: &View<'_, T>,
        bias: Option<&View<'_, T>>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let codec = T::ProductCodec::default();
        let start = match bias {
            None => None,
            Some(b) => {
                let mut v = reserved(self.out_channels)?;
                v.extend(b.elements().map(|(_, b)| codec.load(b)));
                Some(v)
            }
        };
        let mut own = Vec::new();
        self.apply(x, (self.weight(weight, self.out_first, &mut own)?, None), start.as_deref(), out)
    }

    /// The convolution, by weights in the computed type.
    fn apply<T: Multiplied>(
        &self,
        x: &View<'_, T>,
        (weight, kept): (Weight<T::Product>, Option<&Kept<T::Product>>),
        bias: Option<&[T::Product]>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let map = Map::<T> {
            batch: self.batch,
            groups: self.groups,
            ins: self.in_channels / self.groups,
            outs: self.out_channels / self.groups,
            weight,
            kept,
            bias,
            x: self.grid(x.ptr, x.shape, x.strides),
            out: self.grid(out.ptr, out.shape, out.strides),
            links: &self.links,
            in_first: !self.out_first,
            sums: None,
            lead: [0; 3],
        };
        let Some(whole) = &self.whole else { return map.run() };
        // As it is of the whole in the order NumPy makes arrays in. (Nothing is read.)
        let grid = self.grid(x.ptr, &whole.x_shape, &c_strides(&whole.x_shape));
        let of = Map::<T> { links: &whole.links, x: grid, out: map.out.clone(), ..map };
        let sums = of.sums()?;
        let x = self.grid(x.ptr, x.shape, x.strides);
        let Some(units) = sums.units else { return Map { links: &self.links, x, sums: Some(sums), ..of }.run() };
        // Outputs are in the same pairs.
        let lead = [0, 1, 2].map(|a| whole.starts[a] % (units[a] * whole.links[a].out_step));
        let links = [self.links[0].led(lead[0])?, self.links[1].led(lead[1])?, self.links[2].led(lead[2])?];
        Map { links: &links, x, sums: Some(sums), lead, ..of }.run()
    }

    /// The gradient of the input.
    ///
    /// # Errors
    /// As [`ConvPlan::forward`].
    pub fn input_grad<T: Multiplied>(
        &self,
        grad: &View<'_, T>,
        weight: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let mut own = Vec::new();
        Map::<T> {
            batch: self.batch,
            groups: self.groups,
            ins: self.out_channels / self.groups,
            outs: self.in_channels / self.groups,
            weight: self.weight(weight, !self.out_first, &mut own)?,
            kept: None,
            bias: None,
            x: self.grid(grad.ptr, grad.shape, grad.strides),
            out: self.grid(out.ptr, out.shape, out.strides),
            links: &[self.links[0].swapped(), self.links[1].swapped(), self.links[2].swapped()],
            in_first: self.out_first,
            sums: None,
            lead: [0; 3],
        }
        .run()
    }

    /// The weight where it lies, or converted into `own`. `out_first` says whether its first axis is the map's output.
    fn weight<T: Multiplied>(
        &self,
        weight: &View<'_, T>,
        out_first: bool,
        own: &mut Vec<T::Product>,
    ) -> Result<Weight<T::Product>> {
        let grid = Grid::channels_outside(weight.ptr, weight.shape, weight.strides, self.rank, false);
        let first = if weight.shape.len() > self.rank { weight.shape[0] } else { 1 };
        let Some(place) = grid.place::<T::ProductCodec>() else { return self.converted(&grid, out_first, own) };
        // The first axis counts through the groups, whether it is the input's or the output's.
        let group = (first / self.groups) as isize * place.outer[0];
        let [out, in_] = if out_first { place.outer } else { [place.outer[1], place.outer[0]] };
        Ok(Weight { place, strides: [group, out, in_] })
    }

    /// The weight in the computed type, the inputs of each output one after the other.
    fn converted<T: Multiplied>(
        &self,
        grid: &Grid<*const T>,
        out_first: bool,
        own: &mut Vec<T::Product>,
    ) -> Result<Weight<T::Product>> {
        let [d, h, w] = self.kernel;
        let codec = T::ProductCodec::default();
        let (outs, ins) = (self.out_channels / self.groups, self.in_channels / self.groups);
        let (outs, ins) = if out_first == self.out_first { (outs, ins) } else { (ins, outs) };
        *own = reserved(grid.blocks() * d * h * w)?;
        let mut row = scratch(w)?;
        for (out, in_) in (0..self.groups * outs).flat_map(|o| (0..ins).map(move |i| (o, i))) {
            let block = if out_first { out * ins + in_ } else { (out / outs * ins + in_) * outs + out % outs };
            for (d, h) in (0..d).flat_map(|d| (0..h).map(move |h| (d, h))) {
                own.extend(grid.load(codec, At { block, d, h }, &(0..w), &mut row).iter().map(std::cell::Cell::get));
            }
        }
        let taps = (d * h * w) as isize;
        let of_output = ins as isize * taps;
        let place =
            Place { origin: own.as_ptr(), outer: [of_output, taps], spatial: [(h * w) as isize, w as isize, 1] };
        Ok(Weight { place, strides: [outs as isize * of_output, of_output, taps] })
    }

    /// The gradient of the weight.
    ///
    /// # Errors
    /// As [`ConvPlan::forward`].
    pub fn weight_grad<T: Multiplied>(
        &self,
        grad: &View<'_, T>,
        x: &View<'_, T>,
        out: &mut ViewMut<'_, T>,
    ) -> Result<()> {
        let (x, grad) = (self.grid(x.ptr, x.shape, x.strides), self.grid(grad.ptr, grad.shape, grad.strides));
        let (ins, outs) = (self.in_channels / self.groups, self.out_channels / self.groups);
        let turned = [0, 1, 2].map(|a| self.links[a].swapped());
        let (links, [short, long], channels) =
            if self.out_first { (&self.links, [grad, x], [outs, ins]) } else { (&turned, [x, grad], [ins, outs]) };
        let out = Grid::channels_outside(out.ptr, out.shape, out.strides, self.rank, false);
        WeightGrad::<T> { batch: self.batch, groups: self.groups, channels, links, short, long, out }.run()
    }

    /// The gradient of the bias.
    ///
    /// # Errors
    /// As [`ConvPlan::forward`].
    pub fn bias_grad<T: Multiplied>(&self, grad: &View<'_, T>, out: &mut ViewMut<'_, T>) -> Result<()> {
        let axes = crate::layout::Axes { ndim: 1, rank: 1, channels_last: false };
        let (grad, out) = (self.grid(grad.ptr, grad.shape, grad.strides), out.grid_of(&axes));
        BiasGrad::<T> { batch: self.batch, channels: self.out_channels, grad, out }.run()
    }
}

/// Output length of a transposed convolution whose size is given: from the one without output padding up to
/// `max(stride, dilation) - 1` above it.
fn sized(
    len: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: Pad,
    size: usize,
    name: AxisName,
) -> Result<usize> {
    let most = transposed_len(len, kernel, stride, dilation, pad, stride.max(dilation).max(1) - 1, name)?;
    let least = most.saturating_sub(stride.max(dilation) - 1).max(1);
    if !(least..=most).contains(&size) {
        return Err(Error::value(format!("output_size[{}] = {size}: must be from {least} to {most}", name.index)));
    }
    Ok(size)
}

/// Strides, in elements, of an array whose last axis is the fastest.
fn c_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides: Vec<_> = shape
        .iter()
        .rev()
        .scan(1isize, |step, &n| {
            let stride = *step;
            *step = step.wrapping_mul(n as isize);
            Some(stride)
        })
        .collect();
    strides.reverse();
    strides
}
