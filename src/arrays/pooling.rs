//! Max pooling and unpooling.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};

use super::{Float, fresh, named, require_entries, require_shape};
use crate::element::{Added, Element, Ordered};
use crate::error::{Error, Result};
use crate::geometry::window::{AxisName, Pad};
use crate::kernels::reduce::Larger;
use crate::layout::{Axes, View, ViewMut};
use crate::ops::index::{Duplicates, IndexElement, IndexPlan, Placed, unpooled_len};
use crate::ops::pool::{PoolParams, PoolPlan, Stored};

fn pool_plan<T>(shape: &[usize], p: &PoolParams) -> Result<PoolPlan> {
    let kernel = ("kernel_size", p.kernel_size.len());
    require_entries(kernel, &[("padding", p.padding.len()), ("dilation", p.dilation.len())])?;
    if !p.stride.is_empty() {
        require_entries(kernel, &[("stride", p.stride.len())])?;
    }
    PoolPlan::new(shape, size_of::<T>(), p)
}

/// The largest element of each window; a NaN wins, of equals the first in row-major order.
///
/// Windows, padding, dilation and `ceil_mode` are those of `torch.nn.functional.max_pool{1,2,3}d` (ONNX MaxPool);
/// padding is never chosen.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, max_pool};
///
/// let x = array![[1, 2, 5], [4, 3, 6], [7, 8, 9]].into_dyn();
/// let params = PoolParams { stride: vec![1, 1], ..PoolParams::new(&[2, 2]) };
/// assert_eq!(max_pool(&x.view(), &params)?, array![[4, 6], [8, 9]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; or if memory cannot be had.
pub fn max_pool<T: Ordered>(x: &ArrayViewD<'_, T>, p: &PoolParams) -> Result<ArrayD<T>> {
    named("max_pool", || {
        let plan = pool_plan::<T>(x.shape(), p)?;
        let mut out = fresh(&plan.out_shape)?;
        plan.extrema::<T, Larger>(&View::from(x), &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`max_pool`] into `out`.
///
/// # Errors
/// As [`max_pool`], and if `out` has another shape.
pub fn max_pool_into<T: Ordered>(x: &ArrayViewD<'_, T>, p: &PoolParams, mut out: ArrayViewMutD<'_, T>) -> Result<()> {
    named("max_pool", || {
        let plan = pool_plan::<T>(x.shape(), p)?;
        require_shape("out", out.shape(), &plan.out_shape)?;
        plan.extrema::<T, Larger>(&View::from(x), &mut ViewMut::from(&mut out))
    })
}

/// [`pool_plan`], with the check that indices of type `I` can name every place of a spatial block.
fn located_plan<T, I>(shape: &[usize], p: &PoolParams) -> Result<PoolPlan> {
    let plan = pool_plan::<T>(shape, p)?;
    let axes = Axes::new(shape.len(), p.kernel_size.len(), p.channels_last)?;
    let block = axes.spatial(shape).iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let fits = block.is_some_and(|n| size_of::<I>() >= 8 || i32::try_from(n).is_ok());
    if !fits && !plan.out_shape.contains(&0) {
        return Err(Error::value("indices: i32 cannot name each of the spatial block's more than 2**31 - 1 elements"));
    }
    Ok(plan)
}

/// [`max_pool`] and, for each window, the flat position of its element in the spatial block of `x` (`(d*H + h)*W + w`,
/// as in torch), as `i32` or `i64`.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, max_pool_with_indices};
///
/// let x = array![[1, 2], [4, 3]].into_dyn();
/// let (values, indices) = max_pool_with_indices::<_, i64>(&x.view(), &PoolParams::new(&[2, 2]))?;
/// assert_eq!((values, indices), (array![[4]].into_dyn(), array![[2]].into_dyn()));
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_pool`], and if a spatial block has more elements than `i32` indices can name.
pub fn max_pool_with_indices<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &PoolParams,
) -> Result<(ArrayD<T>, ArrayD<I>)> {
    named("max_pool_with_indices", || {
        let plan = located_plan::<T, I>(x.shape(), p)?;
        let (mut values, mut indices) = (fresh(&plan.out_shape)?, fresh(&plan.out_shape)?);
        located(&plan, x, &mut values.view_mut(), &mut indices.view_mut())?;
        Ok((values, indices))
    })
}

/// [`max_pool_with_indices`] into `values` and `indices`.
///
/// # Errors
/// As [`max_pool_with_indices`], and if `values` or `indices` has another shape.
pub fn max_pool_with_indices_into<T: Ordered, I: IndexElement + Stored>(
    x: &ArrayViewD<'_, T>,
    p: &PoolParams,
    mut values: ArrayViewMutD<'_, T>,
    mut indices: ArrayViewMutD<'_, I>,
) -> Result<()> {
    named("max_pool_with_indices", || {
        let plan = located_plan::<T, I>(x.shape(), p)?;
        require_shape("values", values.shape(), &plan.out_shape)?;
        require_shape("indices", indices.shape(), &plan.out_shape)?;
        located(&plan, x, &mut values, &mut indices)
    })
}

fn located<T: Ordered, I: IndexElement + Stored>(
    plan: &PoolPlan,
    x: &ArrayViewD<'_, T>,
    values: &mut ArrayViewMutD<'_, T>,
    indices: &mut ArrayViewMutD<'_, I>,
) -> Result<()> {
    let (mut values, mut indices) = (ViewMut::from(values), ViewMut::from(indices));
    plan.extrema_with_indices::<T, Larger, I>(&View::from(x), &mut values, &mut indices)
}

fn pool_grad_plan<T>(grad: &[usize], indices: &[usize], input_shape: &[usize], p: &PoolParams) -> Result<IndexPlan> {
    let pool = pool_plan::<T>(input_shape, p)?;
    require_shape("grad_output", grad, &pool.out_shape)?;
    let axes = Axes::new(input_shape.len(), p.kernel_size.len(), p.channels_last)?;
    IndexPlan::new(axes, ("grad_output", grad), indices, ("input_shape", input_shape), size_of::<T>())
}

/// The gradient by the input of [`max_pool_with_indices`], for an input of shape `input_shape` and the same parameters:
/// each gradient goes to the place its index names, and where several meet they are added (half types in `f32`).
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{PoolParams, max_pool_backward};
///
/// let indices = array![1_i64, 1].into_dyn(); // of [1, 5, 2], windows [1, 5] and [5, 2]
/// let params = PoolParams { stride: vec![1], ..PoolParams::new(&[2]) };
/// let grad = array![0.5_f32, 0.25].into_dyn();
/// let grad_x = max_pool_backward(&grad.view(), &indices.view(), &[3], &params)?;
/// assert_eq!(grad_x, array![0.0, 0.75, 0.0].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_pool`]; if the gradient or the indices have not the shape of the result; [`Error::Index`] for an index
/// outside its spatial block.
pub fn max_pool_backward<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    input_shape: &[usize],
    p: &PoolParams,
) -> Result<ArrayD<T>> {
    named("max_pool_backward", || {
        let plan = pool_grad_plan::<T>(grad.shape(), indices.shape(), input_shape, p)?;
        let indices = View::from(indices);
        plan.check(&indices)?;
        let mut out = fresh(input_shape)?;
        plan.add(&View::from(grad), &indices, &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`max_pool_backward`] into `out`, whose shape is the input's.
///
/// # Errors
/// As [`max_pool_backward`].
pub fn max_pool_backward_into<T: Float, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &PoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_pool_backward", || {
        let plan = pool_grad_plan::<T>(grad.shape(), indices.shape(), out.shape(), p)?;
        plan.add(&View::from(grad), &View::from(indices), &mut ViewMut::from(&mut out))
    })
}

/// Parameters of an unpooling, one entry for each spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpoolParams {
    /// Elements per window of the pooling it reverses.
    pub kernel_size: Vec<usize>,
    /// Distance between its windows; empty means `kernel_size`.
    pub stride: Vec<usize>,
    /// Elements of its padding.
    pub padding: Vec<Pad>,
    /// Output lengths, each less than a stride away from `(len - 1)*stride - padding + kernel_size`, which is used if
    /// there are none.
    pub output_size: Option<Vec<usize>>,
    /// What happens to elements that land on the same place.
    pub duplicates: Duplicates,
    /// Whether the channel axis is the last one.
    pub channels_last: bool,
}

impl UnpoolParams {
    /// Windows of these lengths, next to each other; of several elements on one place the last stays.
    #[must_use]
    pub fn new(kernel_size: &[usize]) -> Self {
        Self {
            kernel_size: kernel_size.to_vec(),
            stride: kernel_size.to_vec(),
            padding: vec![Pad::default(); kernel_size.len()],
            output_size: None,
            duplicates: Duplicates::Last,
            channels_last: false,
        }
    }
}

/// The plan of an unpooling of values of this shape, called `name`.
fn unpool_plan<T>(name: &str, values: &[usize], indices: &[usize], p: &UnpoolParams) -> Result<IndexPlan> {
    let rank = p.kernel_size.len();
    let kernel = ("kernel_size", rank);
    require_entries(kernel, &[("padding", p.padding.len())])?;
    let stride = if p.stride.is_empty() { &p.kernel_size } else { &p.stride };
    require_entries(kernel, &[("stride", stride.len())])?;
    let sizes = p.output_size.as_deref();
    require_entries(kernel, &[("output_size", sizes.map_or(rank, <[_]>::len))])?;
    let axes = Axes::new(values.len(), rank, p.channels_last)?;
    let (lens, mut spatial) = (axes.spatial(values), [1; 3]);
    for i in 0..rank {
        let (at, size, axis) = (3 - rank + i, sizes.map(|s| s[i]), AxisName { index: i, rank });
        spatial[at] = unpooled_len(lens[at], p.kernel_size[i], stride[i], p.padding[i], size, axis)?;
    }
    let shape = axes.with_spatial(values, spatial);
    let plan = IndexPlan::new(axes, (name, values), indices, ("output shape", &shape), size_of::<T>())?;
    Ok(plan.with_windows(&p.kernel_size, stride))
}

/// Puts each element on the place its index names, zeros elsewhere: the partial inverse of [`max_pool_with_indices`].
///
/// Sizes are those of `torch.nn.functional.max_unpool{1,2,3}d` (ONNX MaxUnpool). Elements that land on the same place
/// are resolved by [`UnpoolParams::duplicates`], in row-major order at any number of threads.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{UnpoolParams, max_unpool};
///
/// let values = array![[4.0_f32]].into_dyn();
/// let indices = array![[2_i64]].into_dyn();
/// let y = max_unpool(&values.view(), &indices.view(), &UnpoolParams::new(&[2, 2]))?;
/// assert_eq!(y, array![[0.0, 0.0], [4.0, 0.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// Names the parameter that does not fit; [`Error::Index`] for an index outside its spatial block; [`Error::Value`] for
/// an index that is there twice, with [`Duplicates::Error`]; or if memory cannot be had.
pub fn max_unpool<T: Ordered + Added, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
) -> Result<ArrayD<T>> {
    named("max_unpool", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        plan.check(&View::from(indices))?;
        let mut out = fresh(&plan.block_shape)?;
        unpool(&plan, p.duplicates, x, indices, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`max_unpool`] into `out`.
///
/// # Errors
/// As [`max_unpool`], and if `out` has another shape.
pub fn max_unpool_into<T: Ordered + Added, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_unpool", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        require_shape("out", out.shape(), &plan.block_shape)?;
        unpool(&plan, p.duplicates, x, indices, &mut out)
    })
}

fn unpool<T: Ordered + Added, I: IndexElement>(
    plan: &IndexPlan,
    rule: Duplicates,
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    match rule {
        Duplicates::Sum => plan.add(&View::from(x), &View::from(indices), &mut ViewMut::from(out)),
        Duplicates::Max => plan.largest(&View::from(x), &View::from(indices), &mut ViewMut::from(out)),
        _ => unpool_move(plan, rule, x, indices, out),
    }
}

/// [`max_unpool`] by copying alone, for every element type, `bool` and complex included.
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{UnpoolParams, max_unpool_move};
///
/// let (mask, indices) = (array![true].into_dyn(), array![1_i32].into_dyn());
/// let y = max_unpool_move(&mask.view(), &indices.view(), &UnpoolParams::new(&[2]))?;
/// assert_eq!(y, array![false, true].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_unpool`]; [`Error::Type`] for [`Duplicates::Sum`] and [`Duplicates::Max`].
pub fn max_unpool_move<T: Element, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
) -> Result<ArrayD<T>> {
    named("max_unpool_move", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        plan.check(&View::from(indices))?;
        let mut out = fresh(&plan.block_shape)?;
        unpool_move(&plan, p.duplicates, x, indices, &mut out.view_mut())?;
        Ok(out)
    })
}

/// [`max_unpool_move`] into `out`.
///
/// # Errors
/// As [`max_unpool_move`], and if `out` has another shape.
pub fn max_unpool_move_into<T: Element, I: IndexElement>(
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_unpool_move", || {
        let plan = unpool_plan::<T>("x", x.shape(), indices.shape(), p)?;
        require_shape("out", out.shape(), &plan.block_shape)?;
        unpool_move(&plan, p.duplicates, x, indices, &mut out)
    })
}

fn unpool_move<T: Element, I: IndexElement>(
    plan: &IndexPlan,
    rule: Duplicates,
    x: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    out: &mut ArrayViewMutD<'_, T>,
) -> Result<()> {
    let (x, indices) = (View::from(x), View::from(indices));
    let placed = match rule {
        Duplicates::Last => Placed::Last,
        Duplicates::First => Placed::First,
        Duplicates::Error => {
            plan.refuse_duplicates(&indices)?;
            Placed::Last
        }
        Duplicates::Sum | Duplicates::Max => {
            return Err(Error::kind(format!("duplicates = {rule:?}: must be Last, First or Error, which only copy")));
        }
    };
    plan.place(placed, &x, &indices, &mut ViewMut::from(out))
}

/// The gradient by the values of [`max_unpool`], for the gradient of its result, its indices and the same parameters:
/// each index' element of the gradient, as torch gives it. (Values that lost their place to a duplicate get it too.)
///
/// ```
/// use ndarray::array;
/// use upsample_rs::{UnpoolParams, max_unpool_backward};
///
/// let grad = array![[1.0_f32, 2.0], [3.0, 4.0]].into_dyn();
/// let indices = array![[2_i64]].into_dyn();
/// let grad_x = max_unpool_backward(&grad.view(), &indices.view(), &UnpoolParams::new(&[2, 2]))?;
/// assert_eq!(grad_x, array![[3.0]].into_dyn());
/// # Ok::<(), upsample_rs::Error>(())
/// ```
///
/// # Errors
/// As [`max_unpool`], and if the gradient has not the shape of the result.
pub fn max_unpool_backward<T: Element, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
) -> Result<ArrayD<T>> {
    named("max_unpool_backward", || {
        let plan = unpool_plan::<T>("indices", indices.shape(), indices.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.block_shape)?;
        let indices = View::from(indices);
        plan.check(&indices)?;
        let mut out = fresh(&plan.values_shape)?;
        plan.take(&View::from(grad), &indices, &mut ViewMut::from(&mut out.view_mut()))?;
        Ok(out)
    })
}

/// [`max_unpool_backward`] into `out`, whose shape is the indices'.
///
/// # Errors
/// As [`max_unpool_backward`], and if `out` has another shape.
pub fn max_unpool_backward_into<T: Element, I: IndexElement>(
    grad: &ArrayViewD<'_, T>,
    indices: &ArrayViewD<'_, I>,
    p: &UnpoolParams,
    mut out: ArrayViewMutD<'_, T>,
) -> Result<()> {
    named("max_unpool_backward", || {
        let plan = unpool_plan::<T>("indices", indices.shape(), indices.shape(), p)?;
        require_shape("grad_output", grad.shape(), &plan.block_shape)?;
        require_shape("out", out.shape(), &plan.values_shape)?;
        plan.take(&View::from(grad), &View::from(indices), &mut ViewMut::from(&mut out))
    })
}
