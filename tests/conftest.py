"""Hypothesis profiles, and fixtures that put every instruction set and thread count to work."""

import functools
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


FREE = "as users run it"
LEVELS = {"isa": ISAS, "engine": [*ISAS, FREE]}


def force(level):
    """One instruction set, on two threads, with even tiny arrays split into tasks; or nothing."""
    _core._force_isa(None if level == FREE else level)
    _core._force_grain(None if level == FREE else 1)
    us.set_num_threads(THREADS if level == FREE else 2)


@pytest.fixture(autouse=True)
def engine_as_found():
    """Whatever a test forces is undone after it."""
    yield
    force(FREE)


@pytest.fixture
def isa(request):
    """Each instruction set in turn."""
    return request.param


@pytest.fixture
def engine(request):
    """`isa`, and once more with nothing forced."""
    return request.param


def at_every(levels, name, inner):
    """The test at each level in turn: what is drawn, and what the oracle says of it, serve all."""

    @functools.wraps(inner)
    def test(*args, **kwargs):
        for level in levels:
            force(level)
            try:
                inner(*args, **{**kwargs, name: level})
            except Exception as error:
                if hasattr(error, "add_note"):
                    error.add_note(f"with {name} = {level!r}")
                raise

    test.at_every_level = True
    return test


def pytest_generate_tests(metafunc):
    """A test of drawn cases goes through the levels by itself; any other is a test for each."""
    for name, levels in LEVELS.items():
        if name not in metafunc.fixturenames:
            continue
        drawn = getattr(metafunc.function, "hypothesis", None)
        if drawn is None:
            metafunc.parametrize(name, levels, indirect=True)
            continue
        if not hasattr(drawn.inner_test, "at_every_level"):
            drawn.inner_test = at_every(levels, name, drawn.inner_test)
        metafunc.parametrize(name, [FREE], indirect=True, ids=["every level"])


@pytest.fixture(autouse=True)
def at_its_level(request):
    """Before a test that is for one level."""
    for name in LEVELS:
        if name in request.fixturenames:
            force(request.getfixturevalue(name))
