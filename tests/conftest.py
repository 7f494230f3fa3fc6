"""Hypothesis profiles, and fixtures that put every instruction set and thread count to work."""

import os

import pytest
from hypothesis import HealthCheck, settings

import upsample_rs as us
from upsample_rs import _core

pytest.register_assert_rewrite("laws", "cases", "strategies")
from laws import ISAS  # noqa: E402 - after the line above

settings.register_profile(
    "ci",
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("thorough", parent=settings.get_profile("ci"), max_examples=1000)
settings.register_profile("search", parent=settings.get_profile("thorough"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

THREADS = us.get_num_threads()


@pytest.fixture(autouse=True)
def engine_as_found():
    """Whatever a test forces is undone after it."""
    yield
    _core._force_isa(None)
    _core._force_grain(None)
    us.set_num_threads(THREADS)


@pytest.fixture(params=ISAS)
def isa(request):
    """Each instruction set, on two threads, with even tiny arrays split into tasks."""
    _core._force_isa(request.param)
    _core._force_grain(1)
    us.set_num_threads(2)
    return request.param


@pytest.fixture(params=[*ISAS, "as users run it"])
def engine(request):
    """`isa`, and once more with nothing forced."""
    if request.param in ISAS:
        _core._force_isa(request.param)
        _core._force_grain(1)
        us.set_num_threads(2)
    return request.param
