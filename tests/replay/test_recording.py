"""Recording in native code appends what Python's methods append, and holds no more references."""

import gc
import operator
import sys
import threading

import numpy as np
import pytest

import wengert as wg
import wengert.numpy as wnp
from wengert.capture import Recorder, Variable, capture
from wengert.capture.variable import FUNCTIONS
from wengert.capture.view import View
from wengert.codegen.recording_tables import BINARY, ROWS, row_number
from wengert.errors import EscapedError, WengertError
from wengert.graph import CONSTANT, type_of
from wengert.ops import TABLE
from wengert.replay import recording


@pytest.fixture(autouse=True)
def native():
    """Native recording is in place, as after the first compilation."""
    assert recording.install()
    return recording._installed


OPERATORS = {
    "add": (operator.add, "__add__", "__radd__"),
    "subtract": (operator.sub, "__sub__", "__rsub__"),
    "multiply": (operator.mul, "__mul__", "__rmul__"),
    "divide": (operator.truediv, "__truediv__", "__rtruediv__"),
    "matmul": (operator.matmul, "__matmul__", "__rmatmul__"),
}
ARRAYS = (
    np.ones(3),
    np.float64(2.0),
    np.ones((2, 3), np.float32),
    np.ones((2, 1)),
    np.arange(3),
    np.array([True, False, True]),
)


def variables(values):
    tape = Recorder()
    return tape, [tape.bound_input(type_of(v), v) for v in values]


def same(a, b):
    assert a.entries == b.entries
    assert list(a.constants) == list(b.constants)
    for k, value in a.constants.items():
        assert type(value) is type(b.constants[k])
        assert np.array_equal(value, b.constants[k])


def test_all_operators_are_there():
    assert set(OPERATORS) == set(BINARY)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("k", range(len(ARRAYS)))
@pytest.mark.parametrize("m", range(len(ARRAYS)))
def test_two_variables(name, k, m):
    apply, method, _ = OPERATORS[name]
    a, xs = variables(ARRAYS)
    b, ys = variables(ARRAYS)
    for _ in range(3):  # the first may be unknown to the table
        try:
            expected = getattr(Variable, method)(ys[k], ys[m])
        except WengertError as error:
            with pytest.raises(type(error)):
                apply(xs[k], xs[m])
            return
        found = apply(xs[k], xs[m])
        assert (type(found), found._index, found._type) == (
            Variable,
            expected._index,
            expected._type,
        )
    same(a, b)


INTS = (0, 1, 3, -7, 2**24 + 1, 1 - 2**29, 2**29, 2**40)
NUMBERS = (0.1, -2.5, 1e300, True, np.float32(0.3), np.float64(0.3), *INTS)


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "matmul"])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("k", range(4))
def test_a_variable_and_a_number(name, number, k):
    apply, forward, reflected = OPERATORS[name]
    a, xs = variables(ARRAYS)
    b, ys = variables(ARRAYS)
    with np.errstate(all="ignore"):
        for _ in range(3):
            apply(xs[k], number)
            apply(number, xs[k])
            getattr(Variable, forward)(ys[k], number)
            if isinstance(number, np.generic):
                getattr(np, name)(number, ys[k])
            else:
                getattr(Variable, reflected)(ys[k], number)
    same(a, b)


def test_functions_of_one_operand_and_the_sign():
    a, xs = variables(ARRAYS)
    b, ys = variables(ARRAYS)
    miss = recording._installed.objects["ufunc_miss"]
    for _ in range(3):
        for x, y in zip(xs[:4], ys[:4], strict=True):
            for ufunc in (np.sin, np.exp, np.tanh, np.sqrt, np.negative, np.floor):
                ufunc(x)
                miss(y, ufunc, "__call__", y)
            operator.neg(x)
            Variable.__neg__(y)
    same(a, b)


PAIRS = (
    np.add,
    np.multiply,
    np.maximum,
    np.power,
    np.arctan2,
    np.less,
    np.matmul,
    lambda a, b: np.concatenate([a, b]),
    lambda a, b: np.concatenate((a, b)),
    lambda a, b: np.concatenate([a, b], axis=-1),
    lambda a, b: np.stack([a, b]),
    lambda a, b: np.concatenate([a, b, a]),
)
AXES = (((0,), {}), ((-1,), {}), ((True,), {}), ((None,), {}), (((0, 1),), {}), ((7,), {}))
AXES += (*(((), {"axis": k}) for k in (0, -1, 1, True, None, (0,), 2**40)), ((0,), {"axis": 1}))
AXES += tuple(((), {"axis": 0, "keepdims": k}) for k in (True, False, 1, None))
AXES += (((0,), {"keepdims": True}), ((), {"keepdims": True}), ((), {"axis": 0, "dtype": None}))
AXES += (((0, None), {}), ((), {"axis": -1, "keepdims": True, "dtype": np.float32}))
ONES = (
    np.trim_zeros,
    np.sum,
    np.mean,
    np.max,
    np.transpose,
    np.ravel,
    np.cumsum,
    np.sort,
    np.copy,
    np.shape,
)


def recorded(values, act):
    """What three rounds of `act` record, or the kinds of errors."""
    tape, xs = variables(values)
    errors = []
    for _ in range(3):
        try:
            act(*xs)
        except (WengertError, ValueError, TypeError) as error:
            errors.append(type(error))
    return tape, errors


@pytest.mark.parametrize("k", range(len(PAIRS)))
def test_functions_of_two_operands(k, native, monkeypatch):
    others = [*ARRAYS[:4], 0.5, np.float64(0.5)]
    for a in ARRAYS[:4]:
        for b in others:
            act = (lambda x, b=b: PAIRS[k](x, b)) if np.ndim(b) == 0 else PAIRS[k]
            values = [a] if np.ndim(b) == 0 else [a, b]
            found, errors = recorded(values, act)
            with monkeypatch.context() as patch:
                for name in ("ufunc", "function"):
                    miss = native.objects[f"{name}_miss"]
                    patch.setattr(Variable, f"__array_{name}__", lambda *a, m=miss, **b: m(*a, **b))
                expected, others_errors = recorded(values, act)
            assert errors == others_errors
            same(found, expected)


@pytest.mark.parametrize("function", ONES, ids=lambda f: f.__name__)
def test_functions_of_one_array(function, native, monkeypatch):
    for a in ARRAYS:
        found, errors = recorded([a], function)
        with monkeypatch.context() as patch:
            miss = native.objects["function_miss"]
            patch.setattr(Variable, "__array_function__", lambda *a, m=miss, **b: m(*a, **b))
            expected, others = recorded([a], function)
        assert errors == others
        same(found, expected)


@pytest.mark.parametrize("function", [np.sum, np.max, np.argmin, np.mean])
def test_functions_of_one_array_and_an_axis(function, native, monkeypatch):
    for a in (*ARRAYS, np.ones((2, 3, 4))):
        for args, names in AXES:
            act = lambda x, args=args, names=names: function(x, *args, **names)  # noqa: E731
            found, errors = recorded([a], act)
            with monkeypatch.context() as patch:
                miss = native.objects["function_miss"]
                patch.setattr(Variable, "__array_function__", lambda *a, m=miss, **b: m(*a, **b))
                expected, others = recorded([a], act)
            assert errors == others
            same(found, expected)


def test_an_axis_of_one_function_is_native(native, monkeypatch):
    _, (x, c) = variables([np.ones((2, 3)), np.ones((2, 3), bool)])

    def act():
        np.sum(x, 1), np.sum(x, axis=0), np.max(x, axis=-1), np.where(c, x, x)

    act()
    monkeypatch.setitem(FUNCTIONS, np.sum, None)
    monkeypatch.setitem(FUNCTIONS, np.max, None)
    monkeypatch.setitem(FUNCTIONS, np.where, None)
    before = x._tape.entries[-4:]
    act()
    found = [(e[0], e[2], e[3]) for e in x._tape.entries[-4:]]
    assert found == [(e[0], e[2], e[3]) for e in before]
    assert x._tape.entries[-1][1] == (c._index, x._index, x._index)


def test_choices(native, monkeypatch):
    values = [*ARRAYS, np.array(True), np.ones((2, 3), bool)]
    for k in range(len(values)):
        for m, n in ((0, 0), (0, 1), (2, 2), (2, 3), (1, 2), (4, 0), (5, 5)):
            act = lambda *xs, k=k, m=m, n=n: np.where(xs[k], xs[m], xs[n])  # noqa: E731
            found, errors = recorded(values, act)
            with monkeypatch.context() as patch:
                miss = native.objects["function_miss"]
                patch.setattr(Variable, "__array_function__", lambda *a, m=miss, **b: m(*a, **b))
                expected, others = recorded(values, act)
            assert errors == others
            same(found, expected)
    found, _ = recorded([np.ones(3)], lambda x: (np.where(x > 0, x, 0.5), np.where(x > 0)))
    assert found.entries


def frozen(array):
    array.flags.writeable = False
    return array


CONSTANTS = (
    np.ones(3),
    np.ones((2, 3), np.float32),
    np.full((3, 2), 0.5),
    np.ones((2, 3))[:, ::2],
    np.asfortranarray(np.ones((2, 3))),
    np.ones((1, 2, 3)),
    frozen(np.ones(3)),
    np.arange(3),
    np.array(2.0),
    np.ones(3, ">f8"),
    np.ones(0),
    np.ones(3).view(np.matrix),
)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("k", range(len(CONSTANTS)))
def test_a_variable_and_an_array_of_the_program(name, k, native, monkeypatch):
    apply, forward, _ = OPERATORS[name]
    ufunc = np.true_divide if name == "divide" else getattr(np, name)
    array = CONSTANTS[k]
    miss = native.objects["ufunc_miss"]

    def both(x, with_native):
        left = apply if with_native else getattr(Variable, forward)
        right = ufunc if with_native else lambda a, b: miss(b, ufunc, "__call__", a, b)
        values = [array, array.copy(), array]
        for value in values:
            left(x, value)
            right(value, x)
        if array.flags.writeable and array.size:
            values[1][...] += 1  # what has changed is another constant
            left(x, values[1])
            right(values[1], x)

    for value in ARRAYS[:4]:
        found, errors = recorded([value], lambda x: both(x, True))
        expected, others = recorded([value], lambda x: both(x, False))
        assert errors == others
        same(found, expected)


def test_operators_of_wengerts_own(native):
    a, xs = variables(ARRAYS)
    b, ys = variables(ARRAYS)
    python = native.objects["operator_miss"]
    of_one = (wnp.sigmoid, wnp.relu, wnp.erf, TABLE["sin"], TABLE["reciprocal"])
    of_two = (TABLE["multiply"], TABLE["maximum"], TABLE["logaddexp"])
    for _ in range(3):
        for x, y in zip(xs[:4], ys[:4], strict=True):
            for op in of_one:
                found, expected = op(x), python(op, (y,))
                assert found._type is expected._type
            for op in of_two:
                for other in (x * 1.0, 2.0, np.ones(3)):
                    own = y * 1.0 if other.__class__ is Variable else other
                    op(x, other)
                    python(op, (y, own))
    same(a, b)
    assert wnp.sigmoid(0.0) == 0.5
    with pytest.raises(TypeError):
        wnp.sigmoid(xs[0], xs[0], xs[0])


def test_operators_that_can_fail_note_their_line(native):
    tape = Recorder()
    tape.origins = {}
    x = tape.bound_input(type_of(np.eye(3)), np.eye(3))
    for _ in range(3):
        found = TABLE["cholesky"](x)
        assert "test_recording.py" in tape.origins[found._index]


def test_one_number_is_one_constant_of_each_dtype():
    rate = 0.1
    tape, (x, _, y, *_) = variables(ARRAYS)
    for _ in range(4):
        x = x * rate
        y = y * rate
        x = rate - x
    constants = [k for k, entry in enumerate(tape.entries) if entry[0] is CONSTANT]
    kinds = {tape.constants[k].dtype: tape.constants[k] for k in constants}
    assert kinds == {np.dtype(np.float64): 0.1, np.dtype(np.float32): np.float32(0.1)}
    at = [tape.entries[v._index][1] for v in (x * 2, 2 / x, x - 2, y * 2)]
    assert at[0][1] == at[1][0] == at[2][1] != at[3][1]
    x * float("0.25")
    assert tape.constants[len(tape.entries) - 2] == 0.25


def test_what_belongs_to_no_open_tape_of_its_own_is_pythons():
    tape, (x, *_) = variables(ARRAYS)
    _, (y, *_) = variables(ARRAYS)
    with pytest.raises(EscapedError):
        x * y
    tape.closed = True
    for use in (lambda: x * x, lambda: x * 2.0, lambda: 2.0 / x, lambda: np.sin(x), lambda: -x):
        with pytest.raises(EscapedError):
            use()
    with pytest.raises(TypeError):
        x * object()
    with pytest.raises(TypeError):
        None + x


def test_views_numbers_and_foreign_operands_keep_their_meaning(rng):
    x = rng.standard_normal(4)

    class Doubler:
        __array_ufunc__ = None

        def __rmul__(self, other):
            return other + other

    def f(x):
        y = x * 1.0
        part = y[1:]
        y[0] = y[0] * part[0] - part[1] / y[3]
        return np.sum((y * Doubler()) * x[::-1] - x * part[:1] + np.array([1.0, 2.0, 3.0, 4.0]) * x)

    for _ in range(3):
        wg.check_grads(f, (x,), order=2)


KEYS = (
    *(0, 2, -1, -3),
    *(slice(None), slice(1, None), slice(None, 2), slice(-2, None), slice(0, -1), slice(1, 1)),
    *(slice(None, None, 2), slice(2**40), (0,), (slice(0, 1),), None, ..., [0, 1], True),
)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_parts(key, native):
    python = native.objects["item_miss"]
    for value in (np.arange(3.0), np.ones((3, 2), np.float32), np.arange(3)):
        a, (x,) = variables([value])
        b, (y,) = variables([value])
        for _ in range(3):
            try:
                expected = python(y, key)
            except (WengertError, IndexError) as error:
                with pytest.raises(type(error)):
                    x[key]
                return
            found = x[key]
            assert (type(found), found._type) == (type(expected), expected._type)
            if type(found) is not Variable:
                part = found[:1] * 2.0, expected[:1] * 2.0
                assert part[0]._type is part[1]._type
        same(a, b)


def test_a_part_read_often_stays_native(native, monkeypatch):
    seen = []
    plain = Variable.__getitem__.function
    _, (x,) = variables([np.ones((50, 2))])
    for _ in range(3):
        parts = [x[k] for k in range(50)]
    monkeypatch.setattr(Variable.__getitem__, "function", lambda *a: seen.append(a) or plain(*a))
    for _ in range(100):
        parts = [x[k] for k in range(50)]
    assert not seen
    assert x.__getitem__(1)._type is Variable.__getitem__(x, 1)._type is parts[0]._type
    assert len(seen) == 2


def test_parts_of_arrays_that_are_assigned_to(rng):
    def f(x):
        y = x * 1.0
        part, inner = y[1:], y[1:][:2]
        for k in range(3):
            y[k] = y[k] * part[0] + inner[1] * 2.0
            part[1] = part[1] + inner[0] * part[0]
        return np.sum(inner * part[:2]) + y[-1] * part[-1]

    for _ in range(3):
        wg.check_grads(f, (rng.standard_normal(4),), order=2)


def test_equal_tapes_are_one_graph_and_others_are_not(rng):
    x = rng.standard_normal(3)

    def f(x, n, rate):
        for _ in range(n):
            x = np.sin(x) * rate + x
        return np.sum(x)

    def graph(n, rate):
        args = (x, n, rate)
        return capture(f, args, {}, traced=(0,), purpose="test")

    first = graph(3, 0.5)
    again = graph(3, 0.25)
    assert again.graph is first.graph
    assert [float(a) for a in again.arguments[1:]] == [0.25]
    other = graph(4, 0.5)
    assert other.graph != first.graph
    assert graph(3, 0.5).graph is first.graph  # though another came between
    for found in (first, again, other):
        found.graph.verify()


def test_references_are_given_back():
    x = np.ones(3)
    op = wg.trace(lambda x: x * x, x).entries[-1][0]
    rate = 0.37
    array, sigmoid = np.ones(3), TABLE["sigmoid"]
    held = (op, type_of(x), rate, (), Variable, View, float, int, slice, array, sigmoid, np.ndarray)

    def once():
        tape = Recorder()
        y = z = tape.bound_input(type_of(x), x)
        for _ in range(50):
            y = np.sin(y * rate) * y
            z = -(rate - z / y) + z
            y = y[:][-3:] + y[0]
            y = array * sigmoid(y) - array
        expected = tuple(tape.entries)
        tape = Recorder()
        tape.expected = expected
        y = tape.bound_input(type_of(x), x)
        for _ in range(60):
            y = np.sin(y * rate) * y

    once()
    gc.collect()
    before = [sys.getrefcount(o) for o in held]
    for _ in range(20):
        once()
    gc.collect()
    after = [sys.getrefcount(o) for o in held]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0] * len(held)


def test_the_table_forgets_and_learns_again(native):
    assert all(0 <= row_number(2**47 - k, k * 12345, 2**46 + k) < ROWS for k in range(500))
    tape, (x, *_) = variables(ARRAYS)
    native.table[:] = 0
    y = x * x
    assert native.table.any()
    z = x * x
    assert tape.entries[y._index] == tape.entries[z._index]


def test_variables_that_died_are_used_again():
    """Objects and references stay in balance, for variables, views, derived classes and cycles."""

    class Own(Variable):
        __slots__ = ("extra",)

    class Open(Variable):  # with a dictionary
        pass

    def f(x):
        kept = [x * k for k in range(2000)]
        views = [x[1:][:1] for _ in range(100)]
        for kind in (Own, Open):
            for _ in range(5):
                own = kind(x._tape, x._index, x._type)
                own.extra = [own]  # in a cycle
                kept.append(own * 2.0)
        del own
        gc.collect()
        total = np.sum(kept[3]) + np.sum(views[2]) + np.sum(kept[-1])
        del kept, views
        for _ in range(2000):
            total = total + x[0]
        return total

    x = np.ones(3)
    for _ in range(3):
        value, gradient = wg.value_and_grad(f)(x)
    assert value == 9.0 + 1.0 + 6.0 + 2000.0
    np.testing.assert_array_equal(gradient, [2005.0, 6.0, 5.0])
    gc.collect()
    before = len(gc.get_objects()), sys.getrefcount(Variable), sys.getallocatedblocks()
    for _ in range(20):
        wg.value_and_grad(f)(x)
    gc.collect()
    after = len(gc.get_objects()), sys.getrefcount(Variable), sys.getallocatedblocks()
    assert all(b <= a + 60 for a, b in zip(before, after, strict=True)), (before, after)


def test_variables_that_died_are_used_again_by_every_thread():
    results = []

    def work(k):
        f = wg.grad(lambda x: np.sum(np.sin(x * float(k)) * x))
        results.append((k, [f(np.ones(3)) for _ in range(200)]))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, found in results:
        np.testing.assert_allclose(found, np.full((200, 3), k * np.cos(k) + np.sin(k)))


def test_one_number_object_is_one_constant_of_each_dtype():
    """Also after many others have been used, recorded by Python or natively."""
    numbers = [k + 0.25 for k in range(20)]

    def f(x, y):
        for _ in range(3):
            for c in numbers:
                x = x * c
                y = y + c
            x = np.maximum(x, numbers[3])
        return np.sum(x) + np.sum(y)

    args = (np.ones(3), np.ones(2, np.float32))
    graphs = [capture(f, args, {}, traced=(0, 1), purpose="grad").graph for _ in range(2)]
    assert len(graphs[0].inputs) >= 2 + 2 * len(numbers)
    assert graphs[0] is graphs[1]


def test_a_number_that_alternates_is_recorded_as_python_records_it():
    arrays = [np.ones(3), np.ones(2, np.float32)]
    a, (x, y) = variables(arrays)
    b, (u, v) = variables(arrays)
    number = 0.125
    for _ in range(4):
        for native, python in ((x, u), (y, v), (y, v)):
            operator.mul(native, number)
            Variable.__mul__(python, number)
    same(a, b)
