"""Forks many children after using the thread pool; each computes with threads of its own.

`python fork_many.py CHILDREN` prints how many children gave the parent's result. A script, not a
test, so that the forked process is small whatever else the test run has imported.
"""

import multiprocessing
import sys

import numpy as np

import upsample_rs as us

X = np.random.default_rng(0).standard_normal((8, 128, 128)).astype(np.float32)


def work(_=None):
    """A call large enough to be split between threads; its result as one number."""
    y = us.interpolate(X, scale_factor=2, mode="bilinear")
    pooled, indices = us.max_pool2d(y, 3, 2, 1, return_indices=True)
    return float(pooled.astype(np.float64).sum()) + int(indices.sum())


def main():
    """Run the children, eight at a time, each for one piece of work."""
    us.set_num_threads(2)
    want = work()
    fork = multiprocessing.get_context("fork")
    with fork.Pool(8, maxtasksperchild=1) as pool:
        results = pool.map(work, range(int(sys.argv[1])), chunksize=1)
    assert work() == want, "the parent computes as before"
    print(sum(r == want for r in results))


if __name__ == "__main__":
    main()
