"""What the tests of the command line share."""

import subprocess
import sys

import numpy as np
from PIL import Image

RNG = np.random.default_rng(20)


def run(*words, **options):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "upsample_rs", *map(str, words)]
    options = {"capture_output": True, "text": True, "timeout": 120} | options
    return subprocess.run(command, **options)


def save(path, shape=(12, 10, 3), **options):
    """Write a picture of noise and return its samples."""
    pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels
