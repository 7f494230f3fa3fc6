//! Window arithmetic for one spatial axis.
//!
//! Pooling and convolution in 1-D, 2-D or 3-D are products of these, so no other file computes an output size or
//! looks at padding.

use std::ops::Range;

use super::Reach;
use crate::error::{Error, Result};

/// Padding of one axis, in elements before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pad {
    /// Elements before the axis.
    pub before: usize,
    /// Elements after the axis.
    pub after: usize,
}

impl Pad {
    /// The same padding on both sides.
    #[must_use]
    pub fn both(n: usize) -> Self {
        Self { before: n, after: n }
    }
}

/// How a convolution pads: explicit, or so that the output has `ceil(len / stride)` elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Given elements on either side.
    Explicit(Pad),
    /// `"same"`: an odd element of padding goes after the axis (ONNX `SAME_UPPER`).
    Same,
    /// `"same_lower"`: an odd element of padding goes before the axis (ONNX `SAME_LOWER`).
    SameLower,
}

/// All windows along one axis. Lengths, strides and padding count input elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Elements along the input axis.
    pub in_len: usize,
    /// Number of windows.
    pub out_len: usize,
    /// Elements per window.
    pub kernel: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Distance between the elements of a window.
    pub dilation: usize,
    /// Padding.
    pub pad: Pad,
}

/// Which axis a refusal names, e.g. `kernel_size[1]` and `axis W`.
#[derive(Debug, Clone, Copy)]
pub struct AxisName {
    /// Position in a parameter tuple.
    pub index: usize,
    /// Number of spatial axes, which decides the letters D, H, W.
    pub rank: usize,
}

impl AxisName {
    /// `D`, `H` or `W`.
    #[must_use]
    pub fn letter(self) -> char {
        match self.rank.saturating_sub(self.index) {
            1 => 'W',
            2 => 'H',
            _ => 'D',
        }
    }
}

fn at_least_one(name: &str, axis: AxisName, value: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::value(format!("{name}[{}] = 0: must be at least 1", axis.index)));
    }
    Ok(())
}

/// Elements a dilated kernel spans, `dilation * (kernel - 1) + 1`.
///
/// # Errors
/// If the span does not fit in 63 bits.
pub fn span(kernel: usize, dilation: usize, axis: AxisName) -> Result<usize> {
    kernel
        .checked_sub(1)
        .and_then(|k| k.checked_mul(dilation))
        .and_then(|k| k.checked_add(1))
        .filter(|&s| isize::try_from(s).is_ok())
        .ok_or_else(|| {
            Error::value(format!(
                "kernel_size[{i}] = {kernel}: with dilation[{i}] = {dilation} the window is longer than 2**63 elements",
                i = axis.index
            ))
        })
}

fn padded(in_len: usize, pad: Pad, axis: AxisName) -> Result<usize> {
    in_len
        .checked_add(pad.before)
        .and_then(|n| n.checked_add(pad.after))
        .filter(|&n| isize::try_from(n).is_ok())
        .ok_or_else(|| {
            Error::value(format!(
                "padding[{}] = ({}, {}): the padded axis {} is longer than 2**63 elements",
                axis.index,
                pad.before,
                pad.after,
                axis.letter()
            ))
        })
}

impl Padding {
    /// The padding of an axis of `in_len` elements, in numbers.
    ///
    /// # Errors
    /// If the dilated kernel does not fit in 63 bits.
    pub fn resolve(self, in_len: usize, kernel: usize, stride: usize, dilation: usize, axis: AxisName) -> Result<Pad> {
        let Self::Explicit(pad) = self else {
            let span = span(kernel, dilation, axis)?;
            let steps = in_len.div_ceil(stride.max(1)).saturating_sub(1);
            let reach = steps.saturating_mul(stride).saturating_add(span);
            let total = reach.saturating_sub(in_len);
            let (small, large) = (total / 2, total.div_ceil(2));
            return Ok(match self {
                Self::SameLower => Pad { before: large, after: small },
                _ => Pad { before: small, after: large },
            });
        };
        Ok(pad)
    }
}

impl From<Pad> for Padding {
    fn from(pad: Pad) -> Self {
        Self::Explicit(pad)
    }
}

/// Windows that begin in the first `room + 1` places, one at every `stride`.
fn windows_in(room: usize, stride: usize) -> usize {
    room.checked_div(stride).map_or(1, |n| n.saturating_add(1))
}

impl Windows {
    /// Windows that need no padding and have no gaps.
    #[must_use]
    pub fn plain(in_len: usize, out_len: usize, kernel: usize, stride: usize) -> Self {
        Self { in_len, out_len, kernel, stride, dilation: 1, pad: Pad::default() }
    }

    /// Windows of a pooling: `ceil_mode` keeps a last, partial window that starts inside the input or its left
    /// padding.
    ///
    /// # Errors
    /// If a parameter is zero, the axis is empty, or the dilated kernel exceeds the padded axis.
    pub fn pool(
        in_len: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        pad: Pad,
        ceil_mode: bool,
        axis: AxisName,
    ) -> Result<Self> {
        at_least_one("kernel_size", axis, kernel)?;
        at_least_one("stride", axis, stride)?;
        at_least_one("dilation", axis, dilation)?;
        if in_len == 0 {
            return Err(Error::value(format!("axis {} = 0 elements: must be at least 1", axis.letter())));
        }
        let span = span(kernel, dilation, axis)?;
        let total = padded(in_len, pad, axis)?;
        let Some(room) = total.checked_sub(span) else {
            return Err(too_long(in_len, kernel, dilation, pad, axis));
        };
        let mut out_len = windows_in(room, stride);
        if ceil_mode
            && !room.is_multiple_of(stride)
            && out_len.saturating_mul(stride) < in_len.saturating_add(pad.before)
        {
            out_len = out_len.saturating_add(1);
        }
        Ok(Self { in_len, out_len, kernel, stride, dilation, pad })
    }

    /// Windows of a convolution.
    ///
    /// # Errors
    /// As [`Windows::pool`].
    pub fn conv(
        in_len: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
        axis: AxisName,
    ) -> Result<Self> {
        at_least_one("kernel_size", axis, kernel)?;
        at_least_one("stride", axis, stride)?;
        at_least_one("dilation", axis, dilation)?;
        let pad = padding.resolve(in_len, kernel, stride, dilation, axis)?;
        Self::pool(in_len, kernel, stride, dilation, pad, false, axis)
    }

    /// Refuses padding beyond half the dilated kernel, and windows in which every element is padding.
    ///
    /// # Errors
    /// Names the padding, or the first window without an input element.
    pub fn require_input_in_every_window(&self, axis: AxisName) -> Result<()> {
        let half = span(self.kernel, self.dilation, axis)? / 2;
        for side in [self.pad.before, self.pad.after] {
            if side > half {
                return Err(Error::value(format!(
                    "padding[{i}] = {side}: must be at most half the dilated kernel, {half} for kernel_size[{i}] = {} and dilation[{i}] = {}",
                    self.kernel,
                    self.dilation,
                    i = axis.index
                )));
            }
        }
        if self.dilation == 1 {
            return Ok(()); // such padding always leaves an element in the window
        }
        let inside = self.interior();
        match (0..inside.start).chain(inside.end..self.out_len).find(|&o| self.at(o).count == 0) {
            None => Ok(()),
            Some(o) => Err(Error::value(format!(
                "dilation[{}] = {}: window {o} along axis {} touches padding only ({} elements, padding {} + {})",
                axis.index,
                self.dilation,
                axis.letter(),
                self.in_len,
                self.pad.before,
                self.pad.after
            ))),
        }
    }

    /// `ceil(n / dilation)`; dividing by a dilation of 1, for every row, would cost as much as a short row's kernel.
    #[inline(always)]
    fn dilations(&self, n: usize) -> usize {
        if self.dilation == 1 { n } else { n.div_ceil(self.dilation) }
    }

    /// Input elements of window `o`, clipped to the axis.
    #[inline]
    #[must_use]
    pub fn at(&self, o: usize) -> Reach {
        let first = o.saturating_mul(self.stride); // in padded coordinates
        let skipped = self.skipped(o);
        let start = first.saturating_add(skipped.saturating_mul(self.dilation)).saturating_sub(self.pad.before);
        let left = self.kernel.saturating_sub(skipped);
        let fits = self.dilations(self.in_len.saturating_sub(start));
        let count = left.min(fits);
        Reach { start: if count == 0 { 0 } else { start }, count, step: self.dilation }
    }

    /// First element of window `o` of its kernel that lies inside the axis.
    #[inline]
    #[must_use]
    pub fn skipped(&self, o: usize) -> usize {
        self.dilations(self.pad.before.saturating_sub(o.saturating_mul(self.stride)))
    }

    /// Elements from the first to the last tap of a window.
    fn span(&self) -> usize {
        self.kernel.saturating_sub(1).saturating_mul(self.dilation).saturating_add(1)
    }

    /// Windows that lie wholly inside the input.
    #[must_use]
    pub fn interior(&self) -> Range<usize> {
        let span = self.span();
        let first = self.pad.before.div_ceil(self.stride).min(self.out_len);
        let end = match (self.in_len.saturating_add(self.pad.before)).checked_sub(span) {
            Some(room) => windows_in(room, self.stride).min(self.out_len),
            None => 0,
        };
        first..end.max(first)
    }

    /// Some of the windows alone, over an axis that has nothing but [what they read](Windows::inputs): padding before it
    /// only where they begin in it, and behind it all that the last ones may reach.
    #[must_use]
    pub fn part(&self, outs: &Range<usize>) -> Self {
        let held = self.inputs(outs.clone());
        let begin = outs.start.saturating_mul(self.stride);
        let before = self.pad.before.saturating_sub(begin);
        let after = self.in_len.saturating_add(self.pad.after).saturating_sub(held.end);
        Self { in_len: held.len(), out_len: outs.len(), pad: Pad { before, after }, ..*self }
    }

    /// The input range that a range of windows reads.
    #[must_use]
    pub fn inputs(&self, out: Range<usize>) -> Range<usize> {
        if out.is_empty() {
            return 0..0;
        }
        let start = out.start.saturating_mul(self.stride).saturating_sub(self.pad.before).min(self.in_len);
        let span = self.span();
        let end = out
            .end
            .saturating_sub(1)
            .saturating_mul(self.stride)
            .saturating_add(span)
            .saturating_sub(self.pad.before)
            .min(self.in_len);
        start..end.max(start)
    }
}

#[cold]
fn too_long(in_len: usize, kernel: usize, dilation: usize, pad: Pad, axis: AxisName) -> Error {
    let i = axis.index;
    let padding = if pad.before == pad.after {
        format!("2*{} padding", pad.before)
    } else {
        format!("({} + {}) padding", pad.before, pad.after)
    };
    let dilated = if dilation == 1 { String::new() } else { format!(" (dilation[{i}] = {dilation})") };
    Error::value(format!(
        "kernel_size[{i}] = {kernel}{dilated} exceeds axis {}: {in_len} elements + {padding}",
        axis.letter()
    ))
}

/// Length of a transposed convolution's axis, `(in_len - 1)*stride - before - after + span + output_padding`.
///
/// # Errors
/// If a parameter is zero, `output_padding` is not below `max(stride, dilation)`, or the result is below 1 or beyond
/// 63 bits.
pub fn transposed_len(
    in_len: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: Pad,
    output_padding: usize,
    axis: AxisName,
) -> Result<usize> {
    at_least_one("kernel_size", axis, kernel)?;
    at_least_one("stride", axis, stride)?;
    at_least_one("dilation", axis, dilation)?;
    if in_len == 0 {
        return Err(Error::value(format!("axis {} = 0 elements: must be at least 1", axis.letter())));
    }
    let i = axis.index;
    let limit = stride.max(dilation);
    if output_padding >= limit {
        return Err(Error::value(format!(
            "output_padding[{i}] = {output_padding}: must be below max(stride, dilation) = {limit}"
        )));
    }
    let too_long =
        || Error::value(format!("stride[{i}] = {stride}: makes axis {} longer than 2**63 elements", axis.letter()));
    let wide = |n: usize| n as i128;
    let reach = |steps: usize, step: usize| wide(steps).checked_mul(wide(step));
    let len = reach(in_len.saturating_sub(1), stride)
        .zip(reach(kernel.saturating_sub(1), dilation))
        .and_then(|(strides, taps)| strides.checked_add(taps))
        .and_then(|n| n.checked_add(1)?.checked_add(wide(output_padding)))
        .and_then(|n| n.checked_sub(wide(pad.before))?.checked_sub(wide(pad.after)))
        .ok_or_else(too_long)?;
    if len < 1 {
        return Err(Error::value(format!(
            "padding[{i}] = ({}, {}): leaves axis {} with {len} elements, must be at least 1",
            pad.before,
            pad.after,
            axis.letter()
        )));
    }
    usize::try_from(len).ok().filter(|&n| isize::try_from(n).is_ok()).ok_or_else(too_long)
}
