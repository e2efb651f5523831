"""Every operator of the rule table, in every mode: generated from its declaration."""

import string

import numpy as np
import pytest
from tests.ops import checkers

from wengert.errors import WengertError
from wengert.graph import Graph
from wengert.ops import TABLE
from wengert.run import run

SINGLE, DOUBLE = np.dtype("f4"), np.dtype("f8")

# It is the identity with a derivative of zero, by definition.
CONTRADICTS_DIFFERENCES = {"stop_gradient"}


def samples(op, dtype):
    rng = checkers.seeded(op.name, dtype)
    return op.test_samples(rng, dtype)


def sampled():
    """(operator, number of the sample), for all samples of the table."""
    cases = []
    for op in TABLE.values():
        cases += [pytest.param(op, k, id=f"{op.name}-{k}") for k in range(len(samples(op, DOUBLE)))]
    return cases


def case(op, number, dtype):
    operands, params = samples(op, dtype)[number]
    operands = [np.asarray(x) for x in operands]
    return checkers.record(op, operands, params), operands, params


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["f32", "f64"])
@pytest.mark.parametrize(("op", "number"), sampled())
def test_the_inferred_type_is_the_computed_one(op, number, dtype):
    graph, operands, _ = case(op, number, dtype)
    checkers.types(graph, operands, op.name)


@pytest.mark.parametrize(("op", "number"), sampled())
def test_first_derivatives(op, number):
    graph, operands, _ = case(op, number, DOUBLE)
    rng = checkers.seeded(op.name, number)
    if op.name not in CONTRADICTS_DIFFERENCES:
        checkers.central_differences(graph, operands, rng, op.name)
    checkers.adjoint(graph, operands, rng, op.name)


@pytest.mark.parametrize(("op", "number"), sampled())
def test_second_derivatives(op, number):
    if op.name in CONTRADICTS_DIFFERENCES:
        return
    graph, operands, _ = case(op, number, DOUBLE)
    checkers.second_order(graph, operands, checkers.seeded(op.name, number), op.name)


@pytest.mark.parametrize(("op", "number"), sampled())
def test_derivatives_in_single_precision(op, number):
    graph, operands, params = case(op, number, SINGLE)
    double = [x.astype(DOUBLE) if x.dtype.kind == "f" else x for x in operands]
    checkers.single_precision(
        graph, checkers.record(op, double, params), operands, checkers.seeded(op.name), op.name
    )


@pytest.mark.parametrize(("op", "number"), sampled())
def test_batching_equals_a_loop(op, number):
    graph, operands, _ = case(op, number, DOUBLE)
    checkers.batching(graph, operands, op.name)
    checkers.batching(graph, operands, op.name, size=1)


@pytest.mark.parametrize(("op", "number"), sampled())
def test_batching_the_derivatives_equals_a_loop(op, number):
    graph, operands, _ = case(op, number, DOUBLE)
    wrt, outs = checkers.float_inputs(graph), checkers.float_outputs(graph)
    if not wrt or not outs:
        return
    rng = checkers.seeded(op.name, number)
    forward = checkers.jvp_graph(graph, wrt)
    reverse = checkers.vjp_graph(graph, wrt, outs)
    x_dot = checkers.draw(rng, [graph.input_types[k] for k in wrt])
    y_bar = checkers.draw(rng, [graph.output_types[k] for k in outs])
    checkers.batching(forward, [*operands, *x_dot], f"jvp of {op.name}")
    checkers.batching(reverse, [*operands, *y_bar], f"vjp of {op.name}")


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["f32", "f64"])
@pytest.mark.parametrize(("op", "number"), sampled())
def test_layout_does_not_matter_and_operands_stay_unmodified(op, number, dtype):
    graph, operands, _ = case(op, number, dtype)
    checkers.layouts(graph, operands, op.name)


@pytest.mark.parametrize(("op", "number"), sampled())
def test_printing_saving_and_loading(op, number, tmp_path):
    graph, operands, params = case(op, number, DOUBLE)
    text = str(graph)
    assert f"= {op.name}(" in text
    assert all(f"{name}=" in text for name in params)
    graph.save(tmp_path / "graph.npz")
    loaded = Graph.load(tmp_path / "graph.npz")
    assert loaded == graph
    assert hash(loaded) == hash(graph)
    assert str(loaded) == text
    for a, b in zip(run(loaded, operands), run(graph, operands), strict=True):
        checkers.close(a, b, 0.0, f"{op.name} from a file")


# ---------------------------------------------------------------- the declarations


@pytest.mark.parametrize("op", TABLE.values(), ids=TABLE)
def test_a_declaration_is_complete(op):
    assert op.doc, "a docstring"
    assert (
        op.doc[0].isupper()
        or not op.doc[0].isalpha()
        or op.doc.split()[0] in ("e", "x", "x1", "log", "log2", "exp", "h")
        or op.doc.startswith(("log(", "exp(", "x[", "log2("))
    )
    assert op.doc.rstrip().endswith(".")
    assert op.symbol
    assert op.latex
    assert TABLE[op.name] is op
    slots = {name for _, name, _, _ in string.Formatter().parse(op.latex) if name not in (None, "")}
    numbers = {int(s) for s in slots if s.isdigit()}
    assert numbers, f"{op.latex} shows no operand"
    if op.arity is not None:
        assert max(numbers) < op.arity
    if op.family == "elementwise":
        assert numbers == set(range(op.arity)), "an elementwise formula shows every operand"
    names = {s for s in slots if not s.isdigit()}
    declared = {p for _, params in samples(op, DOUBLE) for p in params}
    assert names <= declared
    rendered = op.latex.format(*"abcdef", **dict.fromkeys(names, "n"))
    assert rendered.count("{") == rendered.count("}")


@pytest.mark.parametrize("op", TABLE.values(), ids=TABLE)
def test_samples_are_repeatable_and_in_the_asked_dtype(op):
    for dtype in (SINGLE, DOUBLE):
        first, second = samples(op, dtype), samples(op, dtype)
        for (a, p), (b, q) in zip(first, second, strict=True):
            assert p == q
            for x, y in zip(a, b, strict=True):
                checkers.close(x, y, 0.0, op.name)
                assert np.asarray(x).dtype.kind != "f" or np.asarray(x).dtype == dtype


# ---------------------------------------------------------------- NumPy's values and promotion


def ufuncs():
    return [op for op in TABLE.values() if isinstance(getattr(np, op.name, None), np.ufunc)]


@pytest.mark.parametrize("op", ufuncs(), ids=lambda op: op.name)
def test_integers_and_booleans_are_promoted_as_numpy_does(op):
    ufunc = getattr(np, op.name)
    whole = np.array([1, 2, 3])
    kinds = [whole.astype(d) for d in ("i8", "i4", "u1", "f4", "f8")] + [whole > 1]
    pairs = [(a,) for a in kinds] if ufunc.nin == 1 else [(a, b) for a in kinds for b in kinds]
    if ufunc.nin == 2:
        pairs += [(a, s) for a in kinds for s in (2, 2.0, True, np.float32(2.0), np.int64(2))]
        pairs += [(s, a) for a in kinds for s in (2, 2.0)]
    for operands in pairs:
        try:
            with np.errstate(all="ignore"):
                expected = ufunc(*operands)
        except TypeError:
            with pytest.raises((WengertError, TypeError)):
                typed(op, operands)
            continue
        value = typed(op, operands)
        assert np.asarray(value).dtype == expected.dtype, (op.name, operands)
        checkers.close(value, expected, 1e-15, f"{op.name} of {operands}")


def typed(op, operands):
    """The value by a graph in which Python numbers are constants and arrays are inputs."""
    arrays = [x for x in operands if isinstance(x, np.ndarray)]

    def apply(*handles):
        rest = iter(handles)
        return op(*[next(rest) if isinstance(x, np.ndarray) else x for x in operands])

    graph = checkers.graph_of(apply, [checkers.type_of(a) for a in arrays])
    checkers.types(graph, arrays, op.name)
    return run(graph, arrays)[0]


@pytest.mark.parametrize("op", TABLE.values(), ids=TABLE)
@pytest.mark.parametrize("to", ["i8", "i4", "u1", "bool", "f2"])
def test_other_dtypes_have_a_right_type_or_a_clear_error(op, to):
    for operands, params in samples(op, DOUBLE):
        arrays = [np.asarray(x) for x in operands]
        changed = [(np.abs(4 * x) + 1).astype(to) if x.dtype.kind == "f" else x for x in arrays]
        try:
            graph = checkers.record(op, changed, params)
            checkers.types(graph, changed, f"{op.name} of {to}")
        except (WengertError, np.linalg.LinAlgError):  # the changed matrix may be singular
            continue


def with_edges():
    return [pytest.param(op, e, id=f"{op.name}{e}") for op in TABLE.values() for e in op.edges]


def reference(op):
    """The function that users know the operator by: NumPy's, SciPy's or a formula."""
    from scipy import special

    formulas = {
        "sigmoid": special.expit,
        "softplus": lambda x: np.logaddexp(x, x.dtype.type(0)),
        "relu": lambda x: np.maximum(x, x.dtype.type(0)),
    }
    return formulas.get(op.name) or getattr(np, op.name, None) or getattr(special, op.name)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["f32", "f64"])
@pytest.mark.parametrize(("op", "edge"), with_edges())
def test_edge_values_are_numpys_to_the_bit(op, edge, dtype):
    with np.errstate(all="ignore"):
        operands = [np.asarray(e).astype(dtype)[()] for e in edge]
        expected = reference(op)(*operands)
    found = checkers.apply_op(op, operands, {})
    assert np.asarray(found).tobytes() == np.asarray(expected, np.asarray(found).dtype).tobytes(), (
        found,
        expected,
    )


# ---------------------------------------------------------------- sizes 0 and 1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize(
    "op", [o for o in TABLE.values() if o.family == "elementwise"], ids=lambda op: op.name
)
def test_elementwise_operators_take_arrays_with_no_or_one_element(op, shape):
    operands, params = samples(op, DOUBLE)[0]
    small = [np.resize(np.asarray(x), shape) for x in operands]
    graph = checkers.record(op, small, params)
    rng = checkers.seeded(op.name)
    checkers.types(graph, small, op.name)
    checkers.adjoint(graph, small, rng, op.name)
    checkers.batching(graph, small, op.name, size=2)
    assert graph.output_types[0].shape == shape


ZERO = np.zeros
SMALL = [
    ("reshape", (ZERO((0, 3)),), {"shape": (3, 0)}),
    ("reshape", (ZERO((1, 1)),), {"shape": ()}),
    ("transpose", (ZERO((0, 3)),), {"axes": (1, 0)}),
    ("transpose", (ZERO(()),), {"axes": ()}),
    ("broadcast_to", (ZERO((1,)),), {"shape": (0,)}),
    ("broadcast_to", (ZERO((3, 1)),), {"shape": (2, 3, 0)}),
    ("broadcast_to", (ZERO((1, 1)),), {"shape": (1, 1)}),
    ("reduce_sum", (ZERO((0, 3)),), {"axes": (0,)}),
    ("reduce_sum", (ZERO((0, 3)),), {"axes": (1,)}),
    ("reduce_sum", (ZERO((1,)),), {"axes": (0,)}),
    ("reduce_max", (ZERO((0, 3)),), {"axes": (1,)}),
    ("reduce_min", (ZERO((1, 1)),), {"axes": (0, 1)}),
    ("concatenate", (ZERO((0, 2)), ZERO((1, 2))), {"axis": 0}),
    ("concatenate", (ZERO((0,)),), {"axis": 0}),
    ("pad", (ZERO(()),), {"widths": ()}),
    ("pad", (ZERO((0,)),), {"widths": ((1, 2),)}),
    ("pad", (ZERO((1, 0)),), {"widths": ((0, 0), (0, 0))}),
    ("slice_index", (ZERO((3,)),), {"key": ((0, 0, 1),)}),
    ("slice_index", (ZERO((0,)),), {"key": ((0, 0, 1),)}),
    ("slice_index", (ZERO(()),), {"key": ()}),
    ("gather", (ZERO((3, 2)), ZERO((0,), int)), {"axes": (0,)}),
    ("gather", (ZERO((0, 2)), ZERO((0,), int)), {"axes": (0,)}),
    ("gather", (ZERO((1,)), ZERO((), int)), {"axes": (0,)}),
    (
        "scatter_sum",
        (ZERO((0, 2)), ZERO((0,), int)),
        {"shape": (3, 2), "parts": (("gather", (0,)),)},
    ),
    ("scatter_sum", (ZERO((0,)),), {"shape": (3,), "parts": (("slice", ((0, 0, 1),)),)}),
    ("scatter_add", (ZERO((3,)), ZERO((0,))), {"parts": (("slice", ((0, 0, 1),)),)}),
    ("scatter_add", (ZERO(()), ZERO(())), {"parts": (("slice", ()),)}),
    ("assign", (ZERO((3,)), ZERO((0,))), {"part": ("slice", ((0, 0, 1),))}),
    ("assign", (ZERO((1,)), ZERO(())), {"part": ("slice", (0,))}),
    ("assign", (ZERO(()), ZERO(())), {"part": ("slice", ())}),
    ("assign", (ZERO((3,)), ZERO((0,)), ZERO((0,), int)), {"part": ("gather", (0,), False)}),
    ("cumsum", (ZERO((0, 2)),), {"axis": 0, "reverse": False}),
    ("cumsum", (ZERO((1,)),), {"axis": 0, "reverse": True}),
    ("cumprod", (ZERO((0, 2)),), {"axis": 0}),
    ("cumprod", (ZERO((2, 0)),), {"axis": 0}),
    ("cumprod", (ZERO((1,)),), {"axis": 0}),
    ("linear_recurrence", (ZERO((0,)), ZERO((0,))), {"axis": 0, "reverse": False}),
    ("linear_recurrence", (ZERO((1,)), ZERO((1,))), {"axis": 0, "reverse": True}),
    ("contract", (ZERO((2, 0)), ZERO((0, 3))), {"spec": "ij,jk->ik"}),
    ("contract", (ZERO((0, 2)), ZERO((2, 3))), {"spec": "ij,jk->ik"}),
    ("contract", (ZERO((1, 1)), ZERO((1, 1))), {"spec": "ij,jk->ik"}),
    ("diagonal", (ZERO((0, 2)),), {"offset": 0, "axis1": 0, "axis2": 1}),
    ("diagonal", (ZERO((1, 1)),), {"offset": 0, "axis1": 1, "axis2": 0}),
    ("searchsorted", (ZERO((0,)), ZERO((2,))), {"right": False}),
    ("searchsorted", (ZERO((1,)), ZERO((0,))), {"right": True}),
    ("argsort", (ZERO((0, 2)),), {"axis": 0}),
    ("argmax", (ZERO((0, 2)),), {"axis": 1}),
    ("reduce_all", (ZERO((0, 2), bool),), {"axes": (0,)}),
    ("reduce_any", (ZERO((0, 2), bool),), {"axes": (0,)}),
]


@pytest.mark.parametrize(
    ("name", "operands", "params"), SMALL, ids=[f"{n}-{k}" for k, (n, _, _) in enumerate(SMALL)]
)
def test_other_operators_take_arrays_with_no_or_one_element(name, operands, params):
    op, rng = TABLE[name], checkers.seeded(name)
    operands = [rng.uniform(0.5, 1.5, x.shape) if x.dtype.kind == "f" else x for x in operands]
    graph = checkers.record(op, operands, params)
    checkers.types(graph, operands, name)
    checkers.first_order(graph, operands, rng, name)
    checkers.second_order(graph, operands, rng, name)
    checkers.batching(graph, operands, name, size=2)
    checkers.batching(graph, operands, name, size=1)
