"""Data files: what is read from good ones, and what is said about each kind of bad one."""

import io
import zipfile

import numpy as np
import pytest

from wengert.errors import DataError
from wengert.train import data


def good(examples=6):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (examples, 4, 4), dtype=np.uint8),
        "y_train": np.arange(examples, dtype=np.uint8) % 3,
        "x_test": rng.integers(0, 256, (4, 4, 4), dtype=np.uint8),
        "y_test": np.array([0, 1, 2, 1]),
    }


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        path = tmp_path / "data.npz"
        arrays = {**good(), **changes}
        np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
        return path

    return write


def test_pixels_are_scaled_and_flattened(write):
    arrays = good()
    arrays["x_train"][0, 0, 0] = 255
    dataset = data.load(write(**arrays))
    assert (dataset.features, dataset.classes) == (16, 3)
    assert dataset.x_train.dtype == dataset.x_test.dtype == np.float32
    np.testing.assert_allclose(dataset.x_train, arrays["x_train"].reshape(6, 16) / 255, rtol=1e-6)
    np.testing.assert_allclose(dataset.x_test, arrays["x_test"].reshape(4, 16) / 255, rtol=1e-6)
    np.testing.assert_array_equal(dataset.y_test, arrays["y_test"])


def test_floats_are_taken_as_they_are(write):
    x = np.linspace(-3.0, 40.0, 12).reshape(6, 2)
    dataset = data.load(write(x_train=x, x_test=x[:4] * 0.1))
    np.testing.assert_allclose(dataset.x_train, x, rtol=1e-6)
    np.testing.assert_allclose(dataset.x_test, x[:4] * 0.1, rtol=1e-6)


def test_black_images_and_bits_are_no_problem(write):
    dark = data.load(write(x_train=np.zeros((6, 2), np.uint8), x_test=np.zeros((4, 2), np.uint8)))
    assert not dark.x_train.any()
    bits = data.load(write(x_train=np.ones((6, 2), bool), x_test=np.zeros((4, 2), bool)))
    assert bits.x_train.min() == 1.0


NAN = np.full((6, 2), 1.0)
NAN[3, 1] = np.nan
BAD_ARRAYS = {
    "missing keys": ({"x_test": None, "y_test": None}, ["missing: x_test, y_test", "found: x_tr"]),
    "pickled objects": (
        {"x_train": np.array([[1], [2, 3]], dtype=object)},
        ["x_train holds pickled Python objects", "can run code", "save numbers"],
    ),
    "text": (
        {"x_train": np.array([["a", "b"]] * 6)},
        ["x_train must hold real numbers", "dtype is <U1", ".astype(np.float32)"],
    ),
    "complex numbers": (
        {"x_test": np.ones((4, 16), complex)},
        ["x_test must hold real numbers", "complex128"],
    ),
    "NaN": (
        {"x_train": NAN},
        ["x_train must hold finite numbers", "1 of 12", "first in example 3", "remove"],
    ),
    "infinity in float32": (
        {"x_train": np.full((6, 2), 1e300)},
        ["float32's range", "12 of 12", "first in example 0"],
    ),
    "no examples": (
        {"x_train": np.zeros((0, 4, 4)), "y_train": np.zeros(0, int)},
        ["x_train must have the shape (examples, ...)", "(0, 4, 4)", "empty"],
    ),
    "no features": ({"x_test": np.zeros((4, 0))}, ["x_test must have the shape", "(4, 0)"]),
    "no axis of features": (
        {"x_train": np.zeros(6)},
        ["x_train must have the shape (examples, ...)", "(6,)", "one example per row"],
    ),
    "fewer labels than examples": (
        {"y_train": np.array([0, 1, 2])},
        ["x_train and y_train must have as many", "6 and 3", "one label"],
    ),
    "more test labels than examples": (
        {"y_test": np.zeros(9, int)},
        ["x_test and y_test must have as many", "4 and 9"],
    ),
    "no labels": ({"y_test": np.zeros(0, int)}, ["y_test is empty"]),
    "parts of different shape": (
        {"x_test": np.ones((4, 5, 5))},
        ["one shape", "(4, 4)", "(5, 5)", "same way"],
    ),
    "labels that are not integers": (
        {"y_train": np.linspace(0, 1, 6)},
        ["y_train must hold integers", "float64", ".astype(np.int64)"],
    ),
    "labels that are text": (
        {"y_train": np.array(list("abcabc"))},
        ["y_train must hold integers", "<U1", "return_inverse"],
    ),
    "negative labels": (
        {"y_train": np.array([0, 1, -1, 0, 1, 2])},
        ["y_train must number the classes 0, 1, 2", "from -1 to 2", "return_inverse"],
    ),
    "labels that are identifiers": (
        {"y_train": np.array([0, 1, 10**12, 0, 1, 2])},
        ["at most 10,000", "from 0 to 1000000000000"],
    ),
    "one-hot labels": (
        {"y_train": np.eye(6, 3, dtype=int)},
        ["y_train must have the shape (examples,)", "(6, 3)", ".argmax(axis=1)"],
    ),
    "a class that was never seen": (
        {"y_test": np.array([0, 1, 2, 7])},
        ["y_test has the label 7", "largest label in y_train is 2"],
    ),
}


def message_for(path):
    with pytest.raises(DataError) as caught:
        data.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert ".py" not in message, "the mistake is in a file of data, not at a line of Python"
    return message


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(write, name):
    changes, expected = BAD_ARRAYS[name]
    message = message_for(write(**changes))
    for part in expected:
        assert part in message


def test_nothing_that_was_pickled_is_run(write, tmp_path):
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (marker.write_text, ("",))

    message = message_for(write(y_train=np.array([Trap()] * 6, dtype=object)))
    assert "y_train holds pickled Python objects" in message
    assert not marker.exists()


def test_a_missing_file(tmp_path):
    message = message_for(tmp_path / "nowhere.npz")
    assert "there is no such file" in message
    assert "np.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)" in message


def test_a_folder(tmp_path):
    assert "this is a folder" in message_for(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "is empty"), (b"x,y\n1,2\n", r"begins with b'x,y\n1,2\n'"), (b"\x80\x04K.", "begins")],
)
def test_a_file_that_is_no_npz(tmp_path, content, found):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    message = message_for(path)
    assert "expected an .npz file" in message
    assert found in message


def test_a_single_npy(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.ones(3))
    assert r"\x93NUMPY" in message_for(path)


def test_a_truncated_file(write):
    path = write()
    path.write_bytes(path.read_bytes()[:-100])
    assert "data.npz: " in message_for(path)


def test_damaged_content(write, tmp_path):
    path = write(x_train=np.ones((6, 500)))
    content = bytearray(path.read_bytes())
    content[400] ^= 0xFF
    path.write_bytes(content)
    assert "x_train is damaged" in message_for(path)


def test_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key in data.KEYS:
            archive.writestr(f"{key}.npy", b"not an array")
    assert "x_train is not an array" in message_for(path)


def test_a_header_that_lies(tmp_path):
    path = tmp_path / "data.npz"
    buffer = io.BytesIO()
    np.save(buffer, np.ones((6, 2)))
    with zipfile.ZipFile(path, "w") as archive:
        for key in data.KEYS:
            archive.writestr(f"{key}.npy", buffer.getvalue()[:-8])
    assert "x_train is damaged" in message_for(path)


def test_digits_hold_out_a_quarter_of_every_class():
    dataset = data.digits(seed=0)
    assert (len(dataset.x_train), len(dataset.x_test)) == (1347, 450)
    assert (dataset.features, dataset.classes) == (64, 10)
    assert (dataset.x_train.min(), dataset.x_train.max()) == (0.0, 1.0)
    shares = np.bincount(dataset.y_test) / np.bincount(
        np.concatenate([dataset.y_train, dataset.y_test])
    )
    np.testing.assert_allclose(shares, 0.25, atol=0.01)


def test_digits_depend_on_the_seed_only():
    first, again, other = (data.digits(seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.x_test, again.x_test)
    assert not np.array_equal(first.x_test, other.x_test)


def test_batches_cover_every_example_once(rng):
    rows = list(data.batches(rng, 23, 5))
    assert [len(batch) for batch in rows] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(rows)) == list(range(23))
