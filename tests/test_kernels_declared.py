"""Kernels run in pieces and on checked rows unless they declare why not."""

import importlib
import inspect
import pkgutil

import numpy as np
import pandas as pd
import pytest
from support import model_of

import dask_onestep.kernels
from dask_onestep.kernels.designs import parts as parts_module
from dask_onestep.kernels.designs.parts import Block, Rows
from dask_onestep.kernels.records import Findings
from dask_onestep.kernels.rows.block import Joint, run_kernel
from dask_onestep.kernels.rows.rows import Traits, kernel, traits_of

# Of each of these the reason is that a block is fitted by itself.
WHOLE = {"anchor_block", "local_fit", "local_lassos", "local_ratio"}


def declared_kernels():
    """Return every declared kernel of the package by name."""
    found = {}
    for info in pkgutil.walk_packages(dask_onestep.kernels.__path__, "dask_onestep.kernels."):
        module = importlib.import_module(info.name)
        functions = inspect.getmembers(module, inspect.isfunction)
        found |= {name: each for name, each in functions if hasattr(each, "traits")}
    return found


def test_only_fits_of_a_block_by_itself_take_it_whole():
    whole = {name: each.traits.whole for name, each in declared_kernels().items() if each.traits.whole}
    assert set(whole) == WHOLE
    assert all("fit" in reason or "lasso" in reason for reason in whole.values())


def test_what_is_read_before_it_becomes_rows_looks_at_tables_or_changes_them():
    assert {name for name, each in declared_kernels().items() if each.traits.raw} == {
        "effect_sums",
        "spreads",
    }


def test_an_undeclared_kernel_has_the_safe_defaults():
    assert traits_of(count) == Traits(whole="", checked="before", columns="free", raw=False)


class Seen:
    """Rows seen, and the most at a time."""

    def __init__(self, n, most):
        self.n, self.most = n, most

    def __add__(self, other):
        return Seen(self.n + other.n, max(self.most, other.most))

    def is_finite(self):
        return True


def count(rows, model):
    return Seen(len(rows), len(rows))


@kernel(whole="it counts the rows of a block")
def count_whole(rows, model):
    return count(rows, model)


@pytest.fixture
def block(monkeypatch):
    monkeypatch.setattr(parts_module, "MATRIX_BYTES", 100 * 8 * 2)
    return Block(pd.DataFrame(np.random.default_rng(0).normal(size=(1050, 2)), columns=["x0", "x1"]), np.zeros(1050))


@pytest.mark.parametrize(("function", "most"), [(count, 100), (count_whole, 1050)])
def test_a_large_block_comes_in_pieces_unless_declared(block, function, most):
    seen = run_kernel(block, function, model_of(), None, ())
    assert (seen.n, seen.most) == (1050, most)


def test_joined_kernels_keep_their_own_way(block):
    joint = Joint(((count, model_of(), 0), (count_whole, model_of(), 0)))
    in_pieces, whole = run_kernel(block, joint, model_of(), None, (None, None)).parts
    assert (in_pieces.most, whole.most) == (100, 1050)


@pytest.mark.parametrize("name", sorted(set(declared_kernels()) - WHOLE))
def test_every_other_kernel_of_the_package_is_given_pieces(name, block, monkeypatch):
    from dask_onestep.kernels.rows import block as block_module

    lengths = []
    plain = block_module.usable_rows
    monkeypatch.setattr(
        block_module, "usable_rows", lambda piece, model: (lengths.append(len(piece.x)), plain(piece, model))[1]
    )
    function = declared_kernels()[name]
    if function.traits.raw:
        return
    try:
        run_kernel(block, function, model_of(), None, (np.zeros(3),) * 4)
    except Exception:  # the other arguments are not what it takes; it has met its rows
        assert lengths
    assert max(lengths) <= 100


def test_rows_are_checked_before_unless_declared(block):
    gap = Block(block.x.assign(x1=np.nan), block.y)
    assert isinstance(run_kernel(gap, count, model_of(), None, ()), Findings)
    later = kernel(checked="later")(lambda rows, model: count(rows, model))
    assert run_kernel(gap, later, model_of(), None, ()).n == 1050


def test_all_columns_are_seen_where_declared():
    model = model_of(fixed=(("x0", 0.5),))
    widths = []

    def width(rows, model):
        widths.append(rows.x.shape[1])
        return Seen(len(rows), 0)

    small = Block(np.ones((5, 2)), np.ones(5))
    run_kernel(small, width, model, None, ())
    run_kernel(small, kernel(columns="all")(lambda rows, model: width(rows, model)), model, None, ())
    assert widths == [1, 2]


def test_a_declaration_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="Unknown checked='sometimes'"):
        kernel(checked="sometimes")(count)


def test_rows_have_the_parts_of_blocks():
    from dask_onestep.kernels.designs.parts import PARTS

    assert PARTS == ("x", "y", "weights", "offset", "groups")
    for kind in (Block, Rows):
        assert list(inspect.signature(kind).parameters)[: len(PARTS)] == list(PARTS)
