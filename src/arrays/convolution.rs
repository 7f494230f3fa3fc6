//! Convolution and transposed convolution.

use ndarray::{ArrayD, ArrayView1, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_entries, require_shape};
use crate::element::Multiplied;
use crate::error::{Error, Result};
use crate::layout::{View, ViewMut};
use crate::ops::conv::{ConvParams, ConvPlan, Kind, PreparedConv};

/// The gradients of a convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvGradients<T> {
    /// By the input.
    pub x: ArrayD<T>,
    /// By the weight.
    pub weight: ArrayD<T>,
    /// By the bias: one entry for each output channel, also where the forward had none.
    pub bias: ArrayD<T>,
}

fn check_lens(p: &ConvParams) -> Result<()> {
    let stride = ("stride", p.stride.len());
    require_entries(stride, &[("padding", p.padding.len()), ("dilation", p.dilation.len())])?;
    if let Kind::Transposed { output_padding, output_size } = &p.kind {
        if !output_padding.is_empty() {
            require_entries(stride, &[("output_padding", output_padding.len())])?;
        }
        if let Some(size) = output_size {
            require_entries(stride, &[("output_size", size.len())])?;
            if output_padding.iter().any(|&n| n > 0) {
                return Err(Error::value(format!(
                    "output_padding = {output_padding:?}: must be 0 with an output_size"
                )));
            }
        }
    }
    Ok(())
}

fn plan<T>(x: &[usize], weight: &[usize], bias: Option<&[usize]>, p: &ConvParams) -> Result<ConvPlan> {
    check_lens(p)?;
    ConvPlan::new(x, weight, bias, size_of::<T>(), p)
}

/// Convolution (cross-correlation) or transposed convolution of `x`, `[batch,] channels, spatial..`, with `weight` and
/// a bias for each output channel; `Kind` in the parameters says which.
///
/// Shapes and sizes are those of `torch.nn.functional.conv{1,2,3}d` and `conv_transpose{1,2,3}d` (ONNX Conv and
/// ConvTranspose): the weight is `[out, in/groups, kernel..]`, of a transposed convolution `[in, out/groups, kernel..]`.
/// A bare array and a bare kernel, without batch and channel axes, convolve too. Integers wrap; half types are summed
/// in `f32` and rounded once.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{ConvParams, Kind, conv};
///
/// let x = array![1, 2, 3].into_dyn();
/// let kernel = array![1, 10].into_dyn();
/// let y = conv(&x.view(), &kernel.view(), None, &ConvParams::new(1, Kind::Forward))?;
/// assert_eq!(y, array![21, 32].into_dyn());
///
/// let transposed = Kind::Transposed { output_padding: vec![], output_size: None };
/// let params = ConvParams { stride: vec![2], ..ConvParams::new(1, transposed) };
/// let y = conv(&x.view(), &kernel.view(), None, &params)?;
/// assert_eq!(y, array![1, 10, 2, 20, 3, 30].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn conv<T: Multiplied>(
    x: &ArrayViewD<'_, T>,
    weight: &ArrayViewD<'_, T>,
    bias: Option<&ArrayView1<'_, T>>,
    p: &ConvParams,
) -> Result<ArrayD<T>> {
    named("conv", || {
        let plan = plan::<T>(x.shape(), weight.shape(), bias.map(|b| b.shape()), p)?;
        let mut out = fresh(&plan.out_shape)?;
        forward(&plan, x, weight, bias, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`conv`] into `out`.
///
/// # Errors
/// As [`conv`], and if `out` has another shape.
pub fn conv_into<T: Multiplied>(
    x: &ArrayViewD<'_, T>,
    weight: &ArrayViewD<'_, T>,
    bias: Option<&ArrayView1<'_, T>>,
    p: &ConvParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("conv", || {
        let plan = plan::<T>(x.shape(), weight.shape(), bias.map(|b| b.shape()), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        forward(&plan, x, weight, bias, &mut out)
    })
}

fn forward<T: Multiplied>(
    plan: &ConvPlan,
    x: &ArrayViewD<'_, T>,
    weight: &ArrayViewD<'_, T>,
    bias: Option<&ArrayView1<'_, T>>,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    let bias = bias.map(|b| b.view().into_dyn());
    let bias = bias.as_ref().map(View::from);
    plan.forward(&View::from(x), &View::from(weight), bias.as_ref(), &mut ViewMut::from(out))
}

/// A convolution that holds its weight and bias, converted and put in order once, for [`conv_prepared`]: half types are
/// kept in `f32`, the weight of a transposed convolution in the order it is read in. Later changes of either array
/// change nothing; threads may share it.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{ConvParams, Kind, conv_prepared, prepare_conv};
///
/// let kernel = array![1, 10].into_dyn();
/// let prepared = prepare_conv(&kernel.view(), None, &ConvParams::new(1, Kind::Forward))?;
/// for x in [array![1, 2, 3].into_dyn(), array![4, 5].into_dyn()] {
///     println!("{}", conv_prepared(&prepared, &x.view())?); // [21, 32], then [54]
/// }
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that fits no input; or if memory cannot be had.
pub fn prepare_conv<T: Multiplied>(
    weight: &ArrayViewD<'_, T>,
    bias: Option<&ArrayView1<'_, T>>,
    p: &ConvParams,
) -> Result<PreparedConv<T>> {
    named("prepare_conv", || {
        check_lens(p)?;
        let bias = bias.map(|b| b.view().into_dyn());
        PreparedConv::new(&View::from(weight), bias.as_ref().map(View::from).as_ref(), p)
    })
}

/// [`conv`] of `x` with a prepared weight: the same bits.
///
/// # Errors
/// As [`conv`].
pub fn conv_prepared<T: Multiplied>(prepared: &PreparedConv<T>, x: &ArrayViewD<'_, T>) -> Result<ArrayD<T>> {
    named("conv_prepared", || {
        let plan = prepared.plan(x.shape())?;
        let mut out = fresh(&plan.out_shape)?;
        prepared.run(&plan, &View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`conv_prepared`] into `out`.
///
/// # Errors
/// As [`conv`], and if `out` has another shape.
pub fn conv_prepared_into<T: Multiplied>(
    prepared: &PreparedConv<T>,
    x: &ArrayViewD<'_, T>,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("conv_prepared", || {
        let plan = prepared.plan(x.shape())?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        prepared.run(&plan, &View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// The gradients of [`conv`] by its input, weight and bias, for the gradient of its result and the same parameters, as
/// PyTorch's autograd gives them.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{ConvParams, Kind, conv_backward};
///
/// let x = array![1.0_f32, 2.0, 3.0].into_dyn();
/// let kernel = array![1.0_f32, 10.0].into_dyn();
/// let grad = array![1.0_f32, 1.0].into_dyn();
/// let grads = conv_backward(&grad.view(), &x.view(), &kernel.view(), &ConvParams::new(1, Kind::Forward))?;
/// assert_eq!(grads.x, array![1.0, 11.0, 10.0].into_dyn());
/// assert_eq!(grads.weight, array![3.0, 5.0].into_dyn());
/// assert_eq!(grads.bias, array![2.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`conv`], and if the gradient has not the shape of the result.
pub fn conv_backward<T: Float>(
    grad: &ArrayViewD<'_, T>,
    x: &ArrayViewD<'_, T>,
    weight: &ArrayViewD<'_, T>,
    p: &ConvParams,
) -> Result<ConvGradients<T>> {
    named("conv_backward", || {
        let plan = plan::<T>(x.shape(), weight.shape(), None, p)?;
        plan.check_grad(grad.shape())?;
        let mut grads = ConvGradients {
            x: fresh(x.shape())?,
            weight: fresh(weight.shape())?,
            bias: fresh(&[plan.out_channels()])?,
        };
        let (grad, x, weight) = (View::from(grad), View::from(x), View::from(weight));
        plan.input_grad(&grad, &weight, &mut ViewMut::from(&mut grads.x.view_mut()))?;
        plan.weight_grad(&grad, &x, &mut ViewMut::from(&mut grads.weight.view_mut()))?;
        plan.bias_grad(&grad, &mut ViewMut::from(&mut grads.bias.view_mut()))?;
        Ok(grads)
    })
}
