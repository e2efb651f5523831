"""The kernels of matrix products, for every width of vectors, against sums in higher precision."""

import ctypes
import functools
import itertools

import numpy as np
import pytest

from wengert.codegen import compiler
from wengert.codegen.kernel import ProductSpec
from wengert.codegen.tables import PANEL_BYTES, PRODUCT

SIZES = [
    (1, 1, 1),
    (2, 3, 5),
    (7, 300, 17),
    (9, 16, 33),
    (33, 1, 100),
    (15, 129, 31),
    (64, 32, 10),
    (70, 9, 300),
]


@functools.cache
def kernel(dtype, width, brief):
    module = compiler._module()
    spec = ProductSpec(np.dtype(dtype))
    compiler.build_function(module, spec, "product", width, brief=brief)
    code = compiler.Code(lambda _: module, ["product"], in_registers=False)
    (address,) = compiler.load_object(code.optimised(), ["product"])
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)


def multiply(
    a, b, *, transposed, width, d=None, alpha=None, negate=False, target=None, brief=False
):
    """C, from A and B in C order, or of which the transposes are."""
    (repeats, m, k), n = a.shape, b.shape[2]
    lies = [np.ascontiguousarray(x.mT if t else x) for x, t in zip((a, b), transposed, strict=True)]
    c = np.full((repeats, m, n), np.nan, a.dtype) if target is None else target
    panel = np.full(PANEL_BYTES, 255, np.uint8)
    given = [*lies, c, c if d is None else d, np.array([alpha or 1.0], a.dtype), panel]
    slots = np.array([x.ctypes.data for x in given], np.int64)
    ta, tb = transposed
    args = dict.fromkeys(PRODUCT, 0)
    args |= {"a": 0, "b": 1, "c": 2, "d": -1 if d is None else 3, "panel": 5}
    args |= {"alpha": -1 if alpha is None else 4, "negate": int(negate)}
    args |= {"m": m, "n": n, "k": k, "repeats": repeats, "c_row": n, "d_row": n}
    args |= {"a_row": 1 if ta else k, "a_col": m if ta else 1}
    args |= {"b_row": 1 if tb else n, "b_col": k if tb else 1}
    args |= {"a_step": m * k, "b_step": k * n, "c_step": m * n, "d_step": m * n}
    words = np.array(list(args.values()), np.int64)
    kernel(a.dtype.str[1:], width, brief)(slots.ctypes.data, words.ctypes.data)
    return c


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=2)))
def test_sizes_and_forms(transposed, dtype, width, rng):
    for (m, k, n), repeats in itertools.product(SIZES, (1, 2)):
        a, b, d = (
            rng.normal(size=(repeats, *shape)).astype(dtype) for shape in ((m, k), (k, n), (m, n))
        )
        for with_d, alpha, negate in itertools.product((False, True), (None, 0.3), (False, True)):
            how = {"transposed": transposed, "width": width, "d": d if with_d else None}
            how |= {"alpha": alpha, "negate": negate}
            found = multiply(a, b, **how)
            np.testing.assert_array_equal(multiply(a, b, **how, brief=True), found)
            factor = np.dtype(dtype).type(alpha or 1.0).astype("g") * (-1 if negate else 1)
            wide = [x.astype("g") for x in (a, b)]
            exact = factor * (wide[0] @ wide[1]) + (d if with_d else 0)
            magnitude = abs(factor) * (np.abs(wide[0]) @ np.abs(wide[1])) + (np.abs(d) * with_d)
            assert np.all(np.abs(found - exact) <= (k + 2) * np.finfo(dtype).eps * magnitude)


def test_a_product_may_be_added_in_place(rng):
    a, b, c = (rng.normal(size=(1, *shape)) for shape in ((20, 300), (300, 21), (20, 21)))
    kept = c.copy()
    multiply(a, b, transposed=(False, True), width=32, d=c, target=c, alpha=0.5)
    np.testing.assert_allclose(c, kept + 0.5 * (a @ b), rtol=1e-12, atol=1e-12)


def test_what_is_not_finite_stays_in_its_row_and_column(rng):
    a, b = rng.normal(size=(1, 11, 13)), rng.normal(size=(1, 13, 19))
    a[0, 2, 3], b[0, 4, 5] = np.inf, np.nan
    for transposed in itertools.product((False, True), repeat=2):
        found = multiply(a, b, transposed=transposed, width=64)
        rows, columns = np.arange(11) == 2, np.arange(19) == 5
        np.testing.assert_array_equal(~np.isfinite(found[0]), rows[:, None] | columns)


def test_the_same_product_gives_the_same_bits(rng):
    a, b = rng.normal(size=(1, 37, 200)), rng.normal(size=(1, 200, 41))
    first, again = (multiply(a, b, transposed=(False, False), width=32) for _ in range(2))
    assert first.tobytes() == again.tobytes()
