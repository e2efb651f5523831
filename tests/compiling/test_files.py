"""`CompiledFunction.save` and `wengert.load_compiled`."""

import collections
import dataclasses
import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError, GraphFileError

Pair = collections.namedtuple("Pair", "first second")


@dataclasses.dataclass
class Model:
    """A tree of parameters."""

    w: object
    b: object


def step(params, x, *, rate):
    def loss(p):
        return np.mean(np.tanh(x @ p["w"] + p["b"]) ** 2)

    value, grads = wg.value_and_grad(loss)(params)
    return {
        "loss": value,
        "params": {k: params[k] - rate * grads[k] for k in params},
        "parts": [None, Pair(x, 1.0), (value,)],
    }


@pytest.fixture
def saved(rng, tmp_path):
    params = {"w": rng.normal(size=(4, 3)), "b": rng.normal(size=3)}
    x = rng.normal(size=(5, 4))
    path = tmp_path / "step.wg"
    wg.compile(step).save(path, params, x, rate=0.1)
    return path, params, x


def test_it_computes_the_same_elsewhere_without_the_source(saved, tmp_path):
    path, params, x = saved
    np.savez(tmp_path / "given.npz", w=params["w"], b=params["b"], x=x)
    program = textwrap.dedent("""
        import sys
        import numpy as np
        import wengert as wg
        given = np.load(sys.argv[2])
        step = wg.load_compiled(sys.argv[1])
        found = step({"w": given["w"], "b": given["b"]}, given["x"], rate=0.1)
        assert type(found["parts"][1]).__name__ == "Pair"
        assert found["parts"][0] is None
        np.savez(sys.argv[3], loss=found["loss"], w=found["params"]["w"],
                 first=found["parts"][1].first)
    """)
    found = tmp_path / "found.npz"
    subprocess.run([sys.executable, "-c", program, path, tmp_path / "given.npz", found], check=True)
    wanted = step(params, x, rate=0.1)
    with np.load(found) as archive:
        np.testing.assert_allclose(archive["loss"], wanted["loss"], rtol=1e-12)
        np.testing.assert_allclose(archive["w"], wanted["params"]["w"], rtol=1e-12)
        np.testing.assert_array_equal(archive["first"], x)


def test_a_loaded_function_is_called_like_the_first(saved):
    path, params, x = saved
    loaded = wg.load_compiled(path)
    assert loaded.__name__ == "step"
    assert repr(loaded) == "<loaded compiled step>"
    assert "params['w']: f64[4,3]" in loaded.signature()
    for given in (x, np.asfortranarray(x), x.astype(">f8")):
        found = loaded(params, given, rate=0.1)
        np.testing.assert_allclose(found["loss"], step(params, x, rate=0.1)["loss"], rtol=1e-12)
    assert loaded(params, x, rate=1)["loss"] == found["loss"]
    gradient = wg.grad(lambda p: loaded(p, x, rate=0.1)["loss"])(params)
    wanted = wg.grad(lambda p: step(p, x, rate=0.1)["loss"])(params)
    np.testing.assert_allclose(gradient["w"], wanted["w"], rtol=1e-10)


def test_dataclasses_come_back_by_name_and_fields(tmp_path):
    path = tmp_path / "f"
    wg.compile(lambda m: Model(m.w * 2.0, [m.b])).save(path, Model(np.ones(2), 3.0))
    found = wg.load_compiled(path)(Model(np.ones(2), 3.0))
    assert type(found).__name__ == "Model"
    np.testing.assert_array_equal(found.w, [2.0, 2.0])
    assert found.b == [3.0]


def test_static_arguments_are_part_of_the_saved_function(tmp_path):
    path = tmp_path / "f"
    wg.compile(lambda x, n: x**n, static_argnums=1).save(path, 2.0, 3)
    assert wg.load_compiled(path)(2.0) == 8.0


def test_wrong_arguments_are_refused(saved):
    path, params, x = saved
    loaded = wg.load_compiled(path)
    with pytest.raises(ArgumentError, match=r"saved for arguments \(params\['b'\]: f64\[3\]"):
        loaded(params, x)
    with pytest.raises(ArgumentError, match=r"x of type f64\[5,4\], but got float64\[6, 4\]"):
        loaded(params, np.ones((6, 4)), rate=0.1)
    with pytest.raises(ArgumentError, match="float32"):
        loaded(params, x.astype(np.float32), rate=0.1)


def test_malformed_files_are_refused(saved, tmp_path):
    path, _, _ = saved
    with pytest.raises(GraphFileError, match="no such file"):
        wg.load_compiled(tmp_path / "missing")
    damaged = tmp_path / "damaged"
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        damaged.write_bytes(data[:cut])
        with pytest.raises(GraphFileError, match="damaged: "):
            wg.load_compiled(damaged)
    wg.trace(lambda x: x, 1.0).save(tmp_path / "graph")
    with pytest.raises(GraphFileError, match="does not hold a wengert compiled function"):
        wg.load_compiled(tmp_path / "graph")
    with pytest.raises(GraphFileError, match="does not hold a wengert graph"):
        wg.Graph.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(version=99), "has version 99"),
        (lambda t: t.update(arguments=["list", []]), "don't fit the graph"),
        (lambda t: t.update(results=["set", [0]]), "unknown kind 'set'"),
        (lambda t: t.update(results=0), "don't fit the graph"),
        (lambda t: t.update(arguments=["tuple", [1, 0]]), "not numbered in order"),
        (lambda t: t.pop("graph"), "is malformed"),
        (
            lambda t: t["graph"]["entries"].__setitem__(0, ["os.system", [], {}, ["<f8", []]]),
            "unknown operator 'os.system'",
        ),
    ],
)
def test_a_changed_text_is_refused(saved, tmp_path, change, message):
    path, _, _ = saved
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    text = json.loads(bytes(arrays["text"]).decode())
    change(text)
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    with open(tmp_path / "changed", "wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(GraphFileError, match=message):
        wg.load_compiled(tmp_path / "changed")


def test_a_tree_that_cannot_be_described_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(GraphFileError, match="OrderedDict can't be saved"):
        wg.compile(lambda d: d["a"]).save(tmp_path / "f", collections.OrderedDict(a=1.0))
    with pytest.raises(GraphFileError, match=r"the key \(1, 2\) of type tuple"):
        wg.compile(lambda d: d[1, 2]).save(tmp_path / "f", {(1, 2): 1.0})
    assert list(tmp_path.iterdir()) == []
