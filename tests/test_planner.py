"""The size arithmetic against Python's integers: for all small parameters, and at the ends of 64
bits.
"""

import itertools

import pytest

import upsample_rs as us

WIDE = (1, 2, 3, 2**31 - 1, 2**31, 2**32 + 1, 2**62 - 1, 2**62, 2**63 - 1)
LIMIT = 2**63


def outcome(call):
    """A length, or None for a refusal."""
    try:
        return call()
    except ValueError:
        return None


def conv_len(size, kernel, stride, pad, dilation):
    """Windows of a convolution; None where none fits."""
    room = size + 2 * pad - (dilation * (kernel - 1) + 1)
    return None if room < 0 else room // stride + 1


def pool_len(size, kernel, stride, pad, dilation, ceil_mode):
    """Windows of a pooling: with `ceil_mode` one more where it begins inside the input or its left
    padding.
    """
    n = conv_len(size, kernel, stride, pad, dilation)
    if n is None or not ceil_mode:
        return n
    rest = (size + 2 * pad - (dilation * (kernel - 1) + 1)) % stride
    return n + (rest > 0 and n * stride < size + pad)


def transposed_len(size, kernel, stride, pad, extra, dilation):
    """Where the last stamp ends."""
    if extra >= max(stride, dilation):
        return None
    n = (size - 1) * stride + dilation * (kernel - 1) + extra + 1 - 2 * pad
    return n if n >= 1 else None


def within(n, *lengths):
    """A length that 63 bits hold, as do the lengths on the way to it; else None."""
    return n if n is not None and all(v < LIMIT for v in (n, *lengths)) else None


def test_all_small_parameters():
    count = 0
    steps = itertools.product(range(1, 10), range(1, 6), range(1, 5), range(4), range(1, 4))
    for size, kernel, stride, pad, dilation in steps:
        args = (size, kernel, stride, pad, dilation)
        assert outcome(lambda a=args: us.conv_output_size(*a)) == conv_len(*args), args
        for ceil_mode in (False, True):
            if pad <= (dilation * (kernel - 1) + 1) // 2:
                got = outcome(lambda a=args, c=ceil_mode: us.pool_output_size(*a, c))
                assert got == pool_len(*args, ceil_mode), (args, ceil_mode)
        for extra in range(3):
            args = (size, kernel, stride, pad, extra, dilation)
            got = outcome(lambda a=args: us.conv_transpose_output_size(*a))
            assert got == transposed_len(*args), args
        count += 6
    print(f"planner: {count} sizes as big integers say")


@pytest.mark.parametrize("size", WIDE)
def test_the_ends_of_64_bits(size):
    """Exact where everything fits into 63 bits, else refused."""
    for kernel, stride, dilation in itertools.product(WIDE, repeat=3):
        for pad in (0, 1, 2**31, 2**62, 2**63 - 1):
            args = (size, kernel, stride, pad, dilation)
            span = dilation * (kernel - 1) + 1
            want = within(conv_len(*args), span, size + 2 * pad)
            assert outcome(lambda a=args: us.conv_output_size(*a)) == want, args
            args = (size, kernel, stride, pad, 0, dilation)
            got = outcome(lambda a=args: us.conv_transpose_output_size(*a))
            assert got == within(transposed_len(*args)), args
