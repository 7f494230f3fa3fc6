/* An allocator that refuses on demand, for LD_PRELOAD: the n-th allocation that one module asks for, or that and every
 * later one. Also notes the largest allocation anyone asks for. Needs glibc. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static uintptr_t from, to;         /* the module whose allocations count */
static atomic_long seen, failed;   /* its allocations since `starve_arm`, and how many were refused */
static atomic_size_t largest;      /* the largest allocation of anybody since then */
static long first = -1, last = -1; /* which of them are refused */
static int traced;
static atomic_int armed;

void starve_module(uintptr_t begin, uintptr_t end) { from = begin, to = end; }

void starve_arm(long one, long until, int trace) {
    atomic_store(&seen, 0), atomic_store(&failed, 0), atomic_store(&largest, 0);
    first = one, last = until, traced = trace;
    atomic_store(&armed, 1);
}

void starve_disarm(void) { atomic_store(&armed, 0); }
long starve_seen(void) { return atomic_load(&seen); }
long starve_failed(void) { return atomic_load(&failed); }
size_t starve_largest(void) { return atomic_load(&largest); }

static int refused(void *caller, size_t size) {
    if (!atomic_load_explicit(&armed, memory_order_relaxed)) return 0;
    size_t most = atomic_load(&largest);
    while (size > most && !atomic_compare_exchange_weak(&largest, &most, size)) {}
    if ((uintptr_t)caller < from || (uintptr_t)caller >= to) return 0;
    long n = atomic_fetch_add(&seen, 1);
    if (n < first || n > last) return 0;
    atomic_fetch_add(&failed, 1);
    if (traced) {
        void *frames[24];
        atomic_store(&armed, 0);
        backtrace_symbols_fd(frames, backtrace(frames, 24), 2);
        atomic_store(&armed, 1);
    }
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) { return refused(CALLER, size) ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) {
    return refused(CALLER, count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) { return refused(CALLER, size) ? NULL : __libc_realloc(old, size); }

void *aligned_alloc(size_t align, size_t size) {
    return refused(CALLER, size) ? NULL : __libc_memalign(align, size);
}

int posix_memalign(void **made, size_t align, size_t size) {
    if (refused(CALLER, size)) return ENOMEM;
    void *at = __libc_memalign(align, size);
    if (!at) return ENOMEM;
    *made = at;
    return 0;
}
