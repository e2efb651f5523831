"""The graph: structure, checks, printing, files."""

import json
import threading
import zipfile

import numpy as np
import pytest

import wengert as wg
from wengert.capture import Recorder
from wengert.errors import DTypeError, GraphError, GraphFileError, WengertError
from wengert.graph import CONSTANT, INPUT, Graph, Type, type_of
from wengert.graph.types import dtype_name
from wengert.ops import TABLE
from wengert.run import run

F64 = Type((), "f8")
VECTOR = Type((3,), "f8")
ADD, SIN, SUM = TABLE["add"], TABLE["sin"], TABLE["reduce_sum"]


def small(constant=2.0):
    """sin(x + constant), for a vector x."""
    return Graph(
        [
            (INPUT, (), (), VECTOR),
            (CONSTANT, (), (), F64),
            (ADD, (0, 1), (), VECTOR),
            (SIN, (2,), (), VECTOR),
        ],
        [0],
        [3],
        {1: np.float64(constant)},
    )


# ---------------------------------------------------------------- types


def test_equal_types_are_one_object():
    assert Type((2, 3), "f8") is Type((2, 3), np.float64)
    assert type_of(np.zeros((2, 3))) is Type((2, 3), np.dtype("f8"))
    assert Type((2, 3), "f8") is not Type((3, 2), "f8")
    assert Type((2, 3), "f8") is not Type((2, 3), "f4")
    assert Type((np.int64(2), 3), "f8") is Type((2, 3), "f8")


def test_types_are_interned_across_threads():
    found, start = [], threading.Barrier(4)

    def make():
        start.wait()
        found.append([Type((n, 17), "f4") for n in range(500)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(a is b for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("f8", "f64"),
        ("f4", "f32"),
        ("f2", "f16"),
        ("i8", "i64"),
        ("i4", "i32"),
        ("u1", "u8"),
        ("bool", "bool"),
    ],
)
def test_types_print_like_the_design_says(dtype, name):
    assert dtype_name(np.dtype(dtype)) == name
    assert repr(Type((3, 4), dtype)) == f"{name}[3,4]"
    assert repr(Type((), dtype)) == f"{name}[]"


@pytest.mark.parametrize("value", [1j, "text", None, object(), np.datetime64("2020-01-01")])
def test_what_is_not_a_real_number_has_no_type(value):
    with pytest.raises(DTypeError, match="float, integer or bool"):
        type_of(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5, "f64[]"),
        (2, "i64[]"),
        (True, "bool[]"),
        (np.float32(1), "f32[]"),
        ([[1.0, 2.0]], "f64[1,2]"),
    ],
)
def test_types_of_python_values(value, text):
    assert repr(type_of(value)) == text


def test_a_type_knows_its_size_and_kind():
    t = Type((2, 0, 3), "i4")
    assert (t.size, t.ndim, t.is_float) == (0, 3, False)
    assert t.with_shape((4,)) is Type((4,), "i4")
    assert t.with_dtype("f4").is_float


# ---------------------------------------------------------------- structure


def test_equal_graphs_hash_equal():
    a, b = small(), small()
    assert a == b
    assert a is not b
    assert hash(a) == hash(b)
    assert {a: 1}[b] == 1


@pytest.mark.parametrize(("one", "other"), [(2.0, 3.0), (0.0, -0.0)])
def test_constants_count_for_equality_but_not_for_the_structure(one, other):
    assert small(one) != small(other)
    assert small(one).structure == small(other).structure
    assert hash(small(one)) == hash(small(other))


def test_a_constant_nan_equals_itself():
    assert small(np.nan) == small(np.nan)


def test_every_part_of_the_structure_counts():
    base = small()
    entries = list(base.entries)
    others = [
        base.with_outputs([2]),
        base.with_outputs([3, 3]),
        Graph([*entries[:3], (TABLE["cos"], (2,), (), VECTOR)], [0], [3], base.constants),
        Graph([*entries[:3], (SIN, (0,), (), VECTOR)], [0], [3], base.constants),
        Graph([(INPUT, (), (), Type((4,), "f8")), *entries[1:]], [0], [3], base.constants),
    ]
    assert all(base != other for other in others)
    assert base != "a graph"


def test_lines_and_names_do_not_count():
    plain = small()
    named = Graph(plain.entries, [0], [3], plain.constants, {2: "f.py:1"}, {0: "x"})
    assert named == plain
    assert hash(named) == hash(plain)


def test_a_graph_does_not_follow_the_sequences_it_was_made_from():
    entries, constants = list(small().entries), {1: np.float64(2.0)}
    graph = Graph(entries, [0], [3], constants)
    entries.clear()
    constants.clear()
    assert graph == small()
    with pytest.raises(TypeError):
        graph.entries[0] = None


def test_reading_a_graph():
    graph = small()
    assert len(graph) == 4
    assert [n.op.name for n in graph] == ["input", "constant", "add", "sin"]
    node = graph.nodes[2]
    assert (node.number, node.operands, node.type, node.line) == (2, (0, 1), VECTOR, "")
    assert graph.input_types == (VECTOR,)
    assert graph.output_types == (VECTOR,)
    assert graph.users() == [[2], [2], [3], []]
    assert graph.with_outputs([0]).live() == [True, False, False, False]
    assert graph.live() == [True] * 4
    assert repr(graph) == "<Graph: 1 inputs, 4 entries, 1 outputs>"


def test_users_counts_each_use():
    graph = wg.trace(lambda x: x * x, 2.0)
    assert graph.users()[0] == [1, 1]


# ---------------------------------------------------------------- verify


def changed(index, entry):
    entries = list(small().entries)
    entries[index] = entry
    return Graph(entries, [0], [3], small().constants)


MALFORMED = {
    "operand after its use": (changed(2, (ADD, (0, 3), (), VECTOR)), "%2 .add.*operand %3"),
    "operand is the entry itself": (changed(3, (SIN, (3,), (), VECTOR)), "%3 .sin.*operand %3"),
    "negative operand": (changed(3, (SIN, (-1,), (), VECTOR)), "%3 .sin.*operand %-1"),
    "wrong shape": (
        changed(3, (SIN, (2,), (), F64)),
        "recorded as f64.., but its rule .* f64.3",
    ),
    "wrong dtype": (changed(3, (SIN, (2,), (), Type((3,), "f4"))), "recorded as f32"),
    "wrong parameter": (changed(3, (SUM, (2,), (("axes", (1,)),), F64)), "axes"),
    "constant without a value": (Graph(small().entries, [0], [3]), "%1: a constant without"),
    "constant of another type": (
        Graph(small().entries, [0], [3], {1: np.float32(1)}),
        "%1: recorded as f64.*f32",
    ),
    "undeclared input": (Graph(small().entries, [], [3], small().constants), "inputs and entries"),
    "declared input that is none": (
        Graph(small().entries, [0, 2], [3], small().constants),
        "inputs and entries",
    ),
    "missing output": (Graph(small().entries, [0], [4], small().constants), "output %4"),
    "missing input": (Graph(small().entries, [0, 9], [3], small().constants), "input %9"),
    "input twice": (Graph(small().entries, [0, 0], [3], small().constants), "input %0.*twice"),
    "input with operands": (changed(3, (INPUT, (2,), (), VECTOR)), "%3"),
    "constant with operands": (
        Graph(
            [*small().entries[:3], (CONSTANT, (2,), (), F64)],
            [0],
            [3],
            {1: np.float64(2), 3: np.float64(2)},
        ),
        "%3",
    ),
    "too few operands": (changed(2, (ADD, (0,), (), VECTOR)), "add.*2 operands"),
    "too many operands": (changed(3, (SIN, (2, 2), (), VECTOR)), "sin.*1 operand"),
    "unknown parameter": (changed(3, (SIN, (2,), (("axis", 0),), VECTOR)), "sin.*axis"),
    "missing parameter": (changed(3, (SUM, (2,), (), F64)), "reduce_sum.*axes"),
    "stray constant": (
        Graph(small().entries, [0], [3], {1: np.float64(2), 2: np.float64(2)}),
        "%2",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_verify_names_the_malformed_entry(kind):
    graph, message = MALFORMED[kind]
    with pytest.raises(WengertError, match=message):
        graph.verify()


def test_verify_returns_a_right_graph():
    graph = small()
    assert graph.verify() is graph


def test_a_wrong_operand_in_verify_is_a_graph_error():
    with pytest.raises(GraphError):
        changed(2, (ADD, (0, 3), (), VECTOR)).verify()


# ---------------------------------------------------------------- printing


def test_printing_shows_one_typed_line_per_entry():
    assert str(small()).splitlines() == [
        "%0: f64[3] = input",
        "%1: f64[] = 2.0",
        "%2: f64[3] = add(%0, %1)",
        "%3: f64[3] = sin(%2)",
        "return %3",
    ]


def test_printing_shows_parameters_names_and_lines():
    def loss(w):
        return TABLE["contract"](w, np.eye(2), spec="ij,jk->ik")

    text = str(wg.trace(loss, np.ones((3, 2))))
    assert "input w" in text
    assert 'contract(%0, %1; spec="ij,jk->ik")    # test_graph.py:' in text
    assert "= [1.,0.,0.,1.] as (2, 2)" in text


def test_printing_does_not_show_large_constants():
    text = str(wg.trace(lambda x: x + np.zeros((20, 20)), 1.0))
    assert "<400 numbers>" in text
    assert len(text) < 300


def test_each_entry_is_one_line_of_text():
    graph = wg.trace(lambda x: x + np.arange(6.0).reshape(2, 3) + np.zeros((2, 1)), 1.0)
    assert len(str(graph).splitlines()) == len(graph) + 1


def test_printed_lines_are_those_of_the_user():
    def f(x):
        y = x * 2.0  # the line that is looked up
        return np.sin(y)

    first = f.__code__.co_firstlineno
    graph = wg.trace(f, 1.0)
    lines = [n.line for n in graph.nodes if n.op.name in ("multiply", "sin")]
    assert lines == [f"test_graph.py:{first + 1}", f"test_graph.py:{first + 2}"]


# ---------------------------------------------------------------- files


def nested():
    @wg.custom_jvp
    def f(x):
        return x * 3.0

    @f.defjvp
    def _(primals, tangents):
        return primals[0] * 3.0, tangents[0] * 2.0

    return wg.trace(lambda x: f(x) + np.arange(3.0), 1.0)


@pytest.mark.parametrize(
    "graph",
    [small(), small(np.nan), small(-0.0), nested()],
    ids=["small", "nan", "minus zero", "nested"],
)
def test_saving_and_loading(graph, tmp_path):
    graph.save(tmp_path / "g.npz")
    loaded = Graph.load(tmp_path / "g.npz")
    assert str(loaded) == str(graph)
    assert loaded.lines == graph.lines
    x = np.ones(graph.input_types[0].shape)
    assert np.array_equal(run(loaded, [x])[0], run(graph, [x])[0], equal_nan=True)


def test_saving_leaves_only_the_file(tmp_path):
    small().save(tmp_path / "g.npz")
    small().save(tmp_path / "g.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["g.npz"]


def test_nothing_is_pickled(tmp_path):
    small().save(tmp_path / "g.npz")
    with zipfile.ZipFile(tmp_path / "g.npz") as archive:
        for name in archive.namelist():
            data = archive.read(name)
            assert data.startswith(b"\x93NUMPY")
            header = data[10:200]
            assert b"'|O'" not in header


def rewritten(path, change):
    """A file in which the decoded JSON text was changed."""
    small().save(path)
    with np.load(path) as archive:
        arrays = {k: archive[k] for k in archive.files}
    text = json.loads(bytes(arrays["text"]).decode())
    change(text, arrays)
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    np.savez(path, **arrays)


def set_entry(index, value):
    def change(text, arrays):
        text["graph"]["entries"][index] = value

    return change


def set_field(name, value):
    def change(text, arrays):
        text["graph"][name] = value

    return change


V = ["<f8", [3]]
BAD_FILES = {
    "unknown operator": set_entry(3, ["launch", [2], {}, V]),
    "operator that is no name": set_entry(3, [["sin"], [2], {}, V]),
    "operand after its use": set_entry(3, ["sin", [7], {}, V]),
    "operand that is no number": set_entry(3, ["sin", ["2"], {}, V]),
    "operand that is a float": set_entry(3, ["sin", [2.0], {}, V]),
    "too many operands": set_entry(3, ["sin", [2, 2], {}, V]),
    "unknown parameter": set_entry(3, ["sin", [2], {"a": 1}, V]),
    "parameter of an unknown kind": set_entry(3, ["reduce_sum", [2], {"axes": {"set": []}}, V]),
    "parameter that is a list": set_entry(3, ["reduce_sum", [2], {"axes": [0]}, ["<f8", []]]),
    "parameter that is too large": set_entry(
        3, ["integer_power", [2], {"n": {"float": "0x1p99999"}}, V]
    ),
    "negative length": set_entry(0, ["input", [], {}, ["<f8", [-3]]]),
    "length that is no number": set_entry(0, ["input", [], {}, ["<f8", ["3"]]]),
    "dtype of objects": set_entry(0, ["input", [], {}, ["|O", [3]]]),
    "unknown dtype": set_entry(0, ["input", [], {}, ["what", [3]]]),
    "wrong type": set_entry(3, ["sin", [2], {}, ["<f4", [3]]]),
    "short entry": set_entry(3, ["sin", [2]]),
    "entry that is no list": set_entry(3, None),
    "input that is missing": set_field("inputs", []),
    "output that is missing": set_field("outputs", [99]),
    "outputs that are no list": set_field("outputs", 3),
    "constants that are missing": set_field("constants", {}),
    "constant that is missing": set_field("constants", {"1": "nothing"}),
    "constants that are no table": set_field("constants", [1]),
    "lines that are no table": set_field("lines", 3),
    "another version": lambda text, arrays: text.update(version=99),
    "another format": lambda text, arrays: text.update(format="png"),
    "no graph": lambda text, arrays: text.pop("graph"),
    "no format": lambda text, arrays: text.pop("format"),
    "constant of another shape": lambda text, arrays: arrays.update(numbers_0=np.zeros((4, 2))),
    "constant of another dtype": lambda text, arrays: arrays.update(numbers_0=np.array(["text"])),
    "number out of range": set_field("constants", {"1": ["<f8", 7]}),
    "number at a negative place": set_field("constants", {"1": ["<f8", -1.5]}),
    "numbers that are missing": set_field("numbers", {}),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_malformed_file_is_a_clear_error(kind, tmp_path):
    path = tmp_path / "bad.npz"
    rewritten(path, BAD_FILES[kind])
    with pytest.raises(GraphFileError, match=r"bad\.npz"):
        Graph.load(path)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_a_file_that_is_no_archive_is_a_clear_error(content, tmp_path):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(GraphFileError, match=r"bad\.npz"):
        Graph.load(tmp_path / "bad.npz")


def test_a_single_array_is_no_graph_file(tmp_path):
    np.save(tmp_path / "bad.npy", np.zeros(3))
    with pytest.raises(GraphFileError, match=r"bad\.npy"):
        Graph.load(tmp_path / "bad.npy")


def test_a_cut_file_is_a_clear_error(tmp_path):
    small().save(tmp_path / "g.npz")
    whole = (tmp_path / "g.npz").read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "bad.npz").write_bytes(whole[:length])
        with pytest.raises(GraphFileError):
            Graph.load(tmp_path / "bad.npz")


def test_a_file_with_changed_bytes_is_loaded_or_a_clear_error(tmp_path):
    small().save(tmp_path / "g.npz")
    whole = bytearray((tmp_path / "g.npz").read_bytes())
    rng = np.random.default_rng(7)
    for at in rng.choice(len(whole), 200, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= int(rng.integers(1, 256))
        (tmp_path / "bad.npz").write_bytes(damaged)
        try:
            Graph.load(tmp_path / "bad.npz").verify()
        except GraphFileError:
            continue


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(GraphFileError, match=r"none\.npz: no such file"):
        Graph.load(tmp_path / "none.npz")


def test_pickled_archives_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", text=np.array([{"a": 1}], dtype=object))
    with pytest.raises(GraphFileError):
        Graph.load(tmp_path / "bad.npz")


# ---------------------------------------------------------------- what a tape makes


def test_a_graph_from_a_tape_verifies():
    tape = Recorder()
    x = tape.input(VECTOR, "x")
    graph = tape.graph([np.sin(x * 2.0)._index])
    assert graph.verify().names == {0: "x"}


def test_a_graph_is_drawn(tmp_path):
    import wengert as wg

    graph = wg.trace(lambda x, y: x * y + 1.0, 2.0, 3.0)
    dot = graph.to_dot()
    assert dot.startswith("digraph")
    assert dot.count(" -> ") == 5
    assert "multiply" in graph.to_svg()
    page = tmp_path / "graph.html"
    assert graph.to_html(page) == page.read_text()
    assert "<svg" in page.read_text()
