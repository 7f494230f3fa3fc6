//! Memory of large results, kept for the next one.
//!
//! The first write to a fresh page costs more than all the rest of a fast operation: the kernel zeroes it, at about a
//! third of the speed memory is written at. A result of more than a mebibyte therefore comes from a small store of
//! blocks that earlier results have given back. NumPy owns the array as any other (`owndata`, no base object): it
//! allocates and frees through a memory handler (NEP 49) that is installed only while we make a result.
//!
//! The store is bounded ([`set_limit`]; by default 256 MiB or a sixteenth of the machine's memory, whichever is less),
//! gives back the blocks that have waited longest, and can be emptied. Its lock is only ever tried: where it is taken
//! (by a thread that was lost in a fork, say), memory is allocated and freed as if there were no store.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::NonNull;
use std::sync::Mutex;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Results from this many bytes on use the store; below, the allocator reuses memory by itself.
const LEAST: usize = 1 << 20;

/// Blocks come in whole multiples of this, so that results of about one size share them.
const STEP: usize = 1 << 20;

/// Bytes before a block's data, for its size; a cache line, so that the data begin on one.
const HEADER: usize = 64;

/// Alignment of a block: a huge page, so that the kernel can back it with huge ones.
const ALIGN: usize = 2 << 20;

/// A block waiting for its next use; `size` counts header and data.
struct Block {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: a waiting block belongs to nobody but the store.
unsafe impl Send for Block {}

struct Store {
    /// Longest waiting first.
    waiting: Vec<Block>,
    bytes: usize,
    limit: Option<usize>,
}

static STORE: Mutex<Store> = Mutex::new(Store { waiting: Vec::new(), bytes: 0, limit: None });

/// The default limit.
fn default_limit() -> usize {
    let installed = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let kib: usize = text.lines().next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib << 10)
    });
    let bound = 256 << 20;
    installed.map_or(bound, |bytes| bound.min(bytes / 16))
}

impl Store {
    fn limit(&mut self) -> usize {
        *self.limit.get_or_insert_with(|| {
            let env = std::env::var("UPSAMPLE_RS_CACHE_BYTES").ok().and_then(|v| v.trim().parse().ok());
            env.unwrap_or_else(default_limit)
        })
    }

    /// The smallest waiting block of at least `size` bytes that is not more than a quarter too large.
    fn take(&mut self, size: usize) -> Option<Block> {
        let fits = self.waiting.iter().enumerate().filter(|(_, b)| b.size >= size && b.size <= size + size / 4);
        let (at, _) = fits.min_by_key(|(_, b)| b.size)?;
        let block = self.waiting.remove(at);
        self.bytes -= block.size;
        Some(block)
    }

    /// Keeps a block, and returns those to be freed instead.
    fn put(&mut self, block: Block) -> Vec<Block> {
        let limit = self.limit();
        if block.size > limit {
            return vec![block];
        }
        self.bytes += block.size;
        self.waiting.push(block);
        self.shrink(limit)
    }

    /// Blocks to be freed so that at most `limit` bytes wait.
    fn shrink(&mut self, limit: usize) -> Vec<Block> {
        let mut count = 0;
        while self.bytes > limit {
            self.bytes -= self.waiting[count].size;
            count += 1;
        }
        self.waiting.drain(..count).collect()
    }
}

/// Sets how many bytes may wait for their next use, and frees what is beyond.
pub fn set_limit(bytes: usize) {
    let freed = STORE.try_lock().map(|mut store| {
        store.limit = Some(bytes);
        store.shrink(bytes)
    });
    freed.into_iter().flatten().for_each(free_block);
}

/// Whether a result of so many bytes comes from the store: large enough to gain, small enough to be kept.
pub fn serves(bytes: usize) -> bool {
    bytes >= LEAST
        && STORE.try_lock().is_ok_and(|mut store| block_size(bytes).is_some_and(|size| size <= store.limit()))
}

/// Bytes that wait now, and how many may.
pub fn usage() -> (usize, usize) {
    STORE.try_lock().map_or((0, 0), |mut store| (store.bytes, store.limit()))
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, ALIGN).ok()
}

fn free_block(block: Block) {
    if let Some(layout) = layout(block.size) {
        // SAFETY: a block was allocated with this layout, and nobody uses it any more.
        unsafe { dealloc(block.start.as_ptr(), layout) };
    }
}

/// Bytes of the block for `size` bytes of data.
fn block_size(size: usize) -> Option<usize> {
    size.checked_add(HEADER)?.checked_next_multiple_of(STEP)
}

/// A fresh block's data, its size noted in front.
fn fresh(size: usize, zeroed: bool) -> *mut c_void {
    let Some(layout) = block_size(size).and_then(layout) else { return std::ptr::null_mut() };
    // SAFETY: the layout's size is not zero.
    let start = unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } };
    let Some(start) = NonNull::new(start) else { return std::ptr::null_mut() };
    advise_huge_pages(start, layout.size());
    data_of(Block { start, size: layout.size() })
}

#[cfg(target_os = "linux")]
fn advise_huge_pages(start: NonNull<u8>, size: usize) {
    // SAFETY: the range is ours; the advice changes no contents, and may fail without harm.
    unsafe { libc::madvise(start.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_: NonNull<u8>, _: usize) {}

fn data_of(block: Block) -> *mut c_void {
    // SAFETY: a block is larger than its header and aligned for a usize.
    unsafe {
        block.start.cast::<usize>().write(block.size);
        block.start.add(HEADER).as_ptr().cast()
    }
}

/// # Safety
/// `data` came from [`data_of`].
unsafe fn block_of(data: *mut c_void) -> Option<Block> {
    // SAFETY: the header lies in front of the data (the caller's promise).
    unsafe {
        let start = NonNull::new(data.cast::<u8>().sub(HEADER))?;
        Some(Block { size: start.cast::<usize>().read(), start })
    }
}

unsafe extern "C" fn handler_malloc(_: *mut c_void, size: usize) -> *mut c_void {
    let waiting = block_size(size).and_then(|size| STORE.try_lock().ok()?.take(size));
    waiting.map_or_else(|| fresh(size, false), data_of)
}

unsafe extern "C" fn handler_calloc(_: *mut c_void, count: usize, size: usize) -> *mut c_void {
    count.checked_mul(size).map_or(std::ptr::null_mut(), |size| fresh(size, true))
}

unsafe extern "C" fn handler_realloc(context: *mut c_void, data: *mut c_void, size: usize) -> *mut c_void {
    let new = fresh(size, false);
    if !data.is_null() && !new.is_null() {
        // SAFETY: NumPy hands back what this handler gave; both blocks hold at least the bytes copied.
        unsafe {
            let held = block_of(data).map_or(0, |b| b.size - HEADER);
            std::ptr::copy_nonoverlapping(data.cast::<u8>(), new.cast::<u8>(), held.min(size));
            handler_free(context, data, held);
        }
    }
    new
}

unsafe extern "C" fn handler_free(_: *mut c_void, data: *mut c_void, _size: usize) {
    if data.is_null() {
        return;
    }
    // SAFETY: NumPy hands back what this handler gave.
    let Some(block) = (unsafe { block_of(data) }) else { return };
    let spare = match STORE.try_lock() {
        Ok(mut store) => store.put(block),
        Err(_) => vec![block],
    };
    spare.into_iter().for_each(free_block);
}

/// NumPy's `PyDataMem_Handler`.
#[repr(C)]
struct Handler {
    name: [c_char; 127],
    version: u8,
    context: *mut c_void,
    malloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    calloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    realloc: unsafe extern "C" fn(*mut c_void, *mut c_void, usize) -> *mut c_void,
    free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

// SAFETY: never changed, and its functions may be called from any thread.
unsafe impl Sync for Handler {}

static HANDLER: Handler = Handler {
    name: {
        let text = b"upsample_rs";
        let mut name = [0; 127];
        let mut i = 0;
        while i < text.len() {
            name[i] = text[i] as c_char;
            i += 1;
        }
        name
    },
    version: 1,
    context: std::ptr::null_mut(),
    malloc: handler_malloc,
    calloc: handler_calloc,
    realloc: handler_realloc,
    free: handler_free,
};

type SetHandler = unsafe extern "C" fn(*mut ffi::PyObject) -> *mut ffi::PyObject;

/// NumPy's `PyDataMem_SetHandler` (since 1.22), from its table of functions.
fn set_handler(py: Python<'_>) -> PyResult<SetHandler> {
    const SLOT: usize = 304;
    static TABLE: PyOnceLock<usize> = PyOnceLock::new();
    let table = TABLE.get_or_try_init(py, || {
        let module = py.import("numpy._core.multiarray").or_else(|_| py.import("numpy.core.multiarray"))?;
        let capsule = module.getattr("_ARRAY_API")?;
        // SAFETY: `capsule` is an object; a null pointer means it is no capsule, and an exception is set.
        let table = unsafe { ffi::PyCapsule_GetPointer(capsule.as_ptr(), std::ptr::null()) };
        if table.is_null() { Err(PyErr::fetch(py)) } else { Ok(table as usize) }
    })?;
    // SAFETY: the table lives as long as NumPy, has this function at this place in every version from 1.22 on (the
    // package requires 1.23), and a function pointer has the size of a data pointer on all targets of Python.
    Ok(unsafe { (*table as *const SetHandler).add(SLOT).read() })
}

/// Lets `make` allocate an array through the store.
pub fn from_store<T>(py: Python<'_>, make: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    static CAPSULE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    const NAME: &CStr = c"mem_handler";
    let capsule = CAPSULE.get_or_try_init(py, || {
        // SAFETY: the handler is static, and NumPy only reads it; a null capsule means an exception is set.
        unsafe {
            let pointer = std::ptr::from_ref(&HANDLER).cast_mut().cast();
            Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(pointer, NAME.as_ptr(), None)).map(Bound::unbind)
        }
    })?;
    let set = set_handler(py)?;
    // SAFETY: the capsule is a handler as NumPy defines it; the call returns the handler in force before, as a new
    // reference, or null with an exception set.
    let before = unsafe { Bound::from_owned_ptr_or_err(py, set(capsule.as_ptr()))? };
    let made = make();
    // SAFETY: `before` came from NumPy.
    let ours = unsafe { Bound::from_owned_ptr_or_err(py, set(before.as_ptr())) };
    ours.and(made)
}
