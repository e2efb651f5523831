"""Walks against NumPy: every sample of every operator that has one, and odd shapes."""

import ctypes

import numpy as np
import pytest

from wengert.codegen.engine import compile_kernels
from wengert.graph import Type, type_of
from wengert.ops import TABLE
from wengert.plan.moves import _RULES, TARGET, walks

KIND = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


def by_walks(op, operands, params):
    """The value by walks, or None."""
    types = [type_of(x) for x in operands]
    result = op.infer(tuple(types), tuple(sorted(params.items())))
    found = walks(op, types, params, result)
    if found is None:
        return None
    out = np.full(result.shape, 99, result.dtype)
    arrays = [*[np.ascontiguousarray(x) for x in operands], out]
    slots = np.array([x.ctypes.data for x in arrays], np.int64)
    for walk, kernel in zip(found, compile_kernels([w.spec for w in found]), strict=True):
        own = [len(arrays) - 1 if k == TARGET else k for k in walk.arrays]
        args = np.array([*own, *walk.numbers], np.int64)
        KIND(kernel.address)(slots.ctypes.data, args.ctypes.data)
    return out


@pytest.mark.parametrize("name", sorted(_RULES))
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_samples(name, dtype, rng):
    op = TABLE[name]
    for operands, params in op.test_samples(rng, np.float64):
        given = [
            np.asarray(x)
            if np.asarray(x).dtype.kind == "i"
            else np.asarray(np.asarray(x) * 10).astype(dtype)
            for x in operands
        ]
        found = by_walks(op, given, params)
        wanted = op.evaluate(*given, **params)
        assert found is not None
        assert found.dtype == np.asarray(wanted).dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    "shape", [(5, 7), (1, 9), (33, 1), (16, 16), (40, 35), (2, 17, 3, 18), (0, 3), (7,)]
)
def test_shapes(shape, rng):
    x = rng.normal(size=shape)
    rank = len(shape)
    for axes in (tuple(range(rank))[::-1], (*range(1, rank), 0)):
        check("transpose", [x], axes=axes)
    check("concatenate", [x, x * 2.0, x[..., :0]], axis=rank - 1)
    check("concatenate", [x, x * 2.0], axis=0)
    check("pad", [x], widths=((1, 2),) * rank)
    check("broadcast_to", [x], shape=(3, *shape))
    for reverse in (False, True):
        for axis in range(rank):
            check("cumsum", [x], axis=axis, reverse=reverse)
    check("slice_index", [x], key=tuple((n - 1, -1, -1) if n else (0, 0, 1) for n in shape))
    check("slice_index", [x], key=tuple((n // 3, n, 2) for n in shape))


def check(name, operands, **params):
    op = TABLE[name]
    np.testing.assert_allclose(
        by_walks(op, operands, params), op.evaluate(*operands, **params), rtol=1e-12
    )


@pytest.mark.parametrize(
    "spec",
    [
        "ij,jk->ik",
        "ij,kj->ik",
        "ji,jk->ik",
        "ij,jk->ki",
        "bij,bjk->bik",
        "ij,j->i",
        "i,ij->j",
        "i,i->",
        "i,j->ij",
        "ij,ij->ij",
        "ij,ij->",
        "ijk,jl->lik",
        ",->",
        ",i->i",
    ],
)
@pytest.mark.parametrize("size", [1, 3, 17])
def test_contractions(spec, size, rng):
    sizes = dict(zip("ijklb", (size, size + 1, size + 2, 3, 2), strict=True))
    left, right = spec.split("->")[0].split(",")
    a, b = (rng.normal(size=[sizes[c] for c in own]) for own in (left, right))
    np.testing.assert_allclose(
        by_walks(TABLE["contract"], [a, b], {"spec": spec}),
        np.einsum(spec, a, b),
        rtol=1e-11,
        atol=1e-12,
    )


def test_an_empty_sum_is_zero():
    found = by_walks(TABLE["contract"], [np.ones((2, 0)), np.ones((0, 3))], {"spec": "ij,jk->ik"})
    np.testing.assert_array_equal(found, np.zeros((2, 3)))


def test_indices_outside_stay_inside():
    x = np.arange(4.0)
    found = by_walks(TABLE["gather"], [x, np.array([-9, 9, -1])], {"axes": (0,)})
    np.testing.assert_array_equal(found, [0.0, 3.0, 3.0])


def test_what_is_no_walk():
    half = Type((2,), np.float16)
    assert walks(TABLE["transpose"], [half], {"axes": (0,)}, half) is None
    double = Type((2,), np.float64)
    assert walks(TABLE["sin"], [double], {}, double) is None
