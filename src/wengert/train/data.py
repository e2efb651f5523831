"""Labelled data: the digits that scikit-learn ships, or any .npz file in MNIST's customary form.

A file is read without pickle, and everything that can be wrong with it is said in a line or two:
what was expected, what arrived, what to do.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wengert.errors import DataError

KEYS = ("x_train", "y_train", "x_test", "y_test")

# A larger label is a mistake (an identifier, a price) rather than the number of a class, and would
# ask for a network whose last layer does not fit into memory.
MOST_CLASSES = 10_000


@dataclass(frozen=True)
class Dataset:
    """Examples to learn from and examples to be tested on.

    `x_train` and `x_test` are float32 (examples, features), `y_train` and `y_test` int64
    (examples,), numbering `classes` classes from 0.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    classes: int

    @property
    def features(self) -> int:
        """How many numbers describe one example."""
        return int(self.x_train.shape[1])


def digits(seed: int) -> Dataset:
    """The 1,797 handwritten digits that scikit-learn ships, a quarter of them held out.

    Images of 8 by 8 pixels with values from 0 to 16, scaled to 0 to 1.

    Parameters
    ----------
    seed : decides which digits are held out; every class gives the same share.

    Raises
    ------
    DataError : scikit-learn is not installed.

    Source
    ------
    E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI machine learning
    repository, 1998.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise DataError(
            "the digits come with scikit-learn, which is not installed",
            hint='install it with: pip install "wengert[train]"',
            location="",
        ) from error
    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.25, stratify=labels, random_state=seed
    )
    scale = images.max()
    return Dataset(
        name="digits",
        x_train=(x_train / scale).astype(np.float32),
        y_train=y_train.astype(np.int64),
        x_test=(x_test / scale).astype(np.float32),
        y_test=y_test.astype(np.int64),
        classes=int(labels.max()) + 1,
    )


def batches(
    rng: np.random.Generator, examples: int, batch_size: int
) -> Iterator[NDArray[np.int64]]:
    """The numbers of all examples in random order, `batch_size` at a time; the last may be fewer.

    Example
    -------
    >>> sorted(len(rows) for rows in batches(np.random.default_rng(0), 10, 4))
    [2, 4, 4]
    """
    order = rng.permutation(examples)
    for start in range(0, examples, batch_size):
        yield order[start : start + batch_size]


def load(path: Path) -> Dataset:
    """Read a data set from an .npz file, as `np.savez` writes it.

    Parameters
    ----------
    path : a file with the arrays `x_train` and `x_test` (examples first, then any shape that is
        the same for both; numbers) and `y_train` and `y_test` (integers, numbering the classes
        from 0). MNIST's customary form, uint8 images of 28 by 28 pixels, is one of these.

    Returns
    -------
    Images flattened to rows. Integers (pixels) are divided by the largest one in `x_train`;
    floating-point numbers are taken as they are.

    Raises
    ------
    DataError : the file is missing, not an .npz, or its arrays are not as described.
    """
    arrays = _read(path)
    x_train, x_test = (_inputs(path, name, arrays[name]) for name in ("x_train", "x_test"))
    y_train, y_test = (_labels(path, name, arrays[name]) for name in ("y_train", "y_test"))
    _check_lengths(path, "train", x_train, y_train)
    _check_lengths(path, "test", x_test, y_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise _error(
            path,
            f"examples must have one shape, but x_train has {x_train.shape[1:]} "
            f"and x_test {x_test.shape[1:]}",
            "prepare both parts in the same way",
        )
    classes = int(y_train.max()) + 1
    if y_test.max() >= classes:
        raise _error(
            path,
            f"y_test has the label {y_test.max()}, but the largest label in y_train is "
            f"{classes - 1}",
            "a class can only be learned from examples in x_train and y_train",
        )
    scale = np.abs(x_train).max() if arrays["x_train"].dtype.kind in "iu" else 1
    return Dataset(
        name=path.name,
        x_train=_flat(x_train / (scale or 1)),
        y_train=y_train,
        x_test=_flat(x_test / (scale or 1)),
        y_test=y_test,
        classes=classes,
    )


def _error(path: Path, message: str, hint: str) -> DataError:
    # The mistake is in a file of data: no line of Python is to be named.
    return DataError(f"{path}: {message}", hint=hint, location="")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The four arrays of an .npz file, whatever they hold, except pickled objects."""
    how = f"write one with np.savez(file, {', '.join(f'{key}=...' for key in KEYS)})"
    try:
        with path.open("rb") as file:
            begins = file.read(16)
            if not begins.startswith(b"PK"):
                found = f"begins with {begins!r}" if begins else "is empty"
                raise _error(
                    path, f"expected an .npz file (a zip of arrays), but the file {found}", how
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                missing = [key for key in KEYS if key not in archive.files]
                if missing:
                    raise _error(
                        path,
                        f"expected the arrays {', '.join(KEYS)}; missing: {', '.join(missing)}; "
                        f"found: {', '.join(archive.files) or 'none'}",
                        how,
                    )
                return {key: _member(path, archive, key) for key in KEYS}
    except FileNotFoundError as error:
        raise _error(path, "there is no such file", f"name an .npz file, or {how}") from error
    except IsADirectoryError as error:
        raise _error(
            path, "expected an .npz file, but this is a folder", f"name a file, or {how}"
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _error(path, f"the file cannot be read ({error})", how) from error


def _member(path: Path, archive: Any, key: str) -> NDArray[Any]:
    try:
        array = archive[key]
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        # NumPy names the switch that would allow pickle; zipfile raises NotImplementedError for a
        # compression it does not know.
        if "allow_pickle" in str(error):
            raise _error(
                path,
                f"{key} holds pickled Python objects, which are not read because they can run code",
                "save numbers: np.array(rows, dtype=np.float32), with rows of equal length",
            ) from error
        raise _error(
            path, f"{key} is damaged ({error})", "write or download the file again"
        ) from error
    except MemoryError as error:
        raise _error(
            path, f"{key} does not fit into memory ({error})", "use fewer or smaller examples"
        ) from error
    if not isinstance(array, np.ndarray):
        raise _error(path, f"{key} is not an array in .npy format", "write it with np.savez")
    return array


def _inputs(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiub":
        raise _error(
            path,
            f"{name} must hold real numbers, but its dtype is {array.dtype}",
            "convert it, for instance with .astype(np.float32)",
        )
    if array.ndim < 2 or array.size == 0:
        raise _error(
            path,
            f"{name} must have the shape (examples, ...) with at least one number in each "
            f"example, but has {array.shape}",
            "give one example per row" if array.ndim < 2 else "an empty set cannot be used",
        )
    with np.errstate(over="ignore"):  # a number beyond float32 is reported below, as infinite
        array = array.astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        row = np.argmin(finite.reshape(len(array), -1).all(axis=1))
        raise _error(
            path,
            f"{name} must hold finite numbers in float32's range, but {np.sum(~finite)} of "
            f"{array.size} are NaN or infinite, the first in example {row}",
            "remove these examples or fill the gaps",
        )
    return array


def _labels(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    if array.dtype.kind not in "iu":
        raise _error(
            path,
            f"{name} must hold integers, the numbers of the classes, but its dtype is "
            f"{array.dtype}",
            "convert with .astype(np.int64), or number the classes with "
            "np.unique(labels, return_inverse=True)[1]",
        )
    if array.ndim != 1:
        raise _error(
            path,
            f"{name} must have the shape (examples,), but has {array.shape}",
            "turn one-hot rows into numbers with .argmax(axis=1), a column into a row with "
            ".ravel()",
        )
    if array.size == 0:
        raise _error(path, f"{name} is empty", "an empty set cannot be used")
    smallest, largest = int(array.min()), int(array.max())
    if smallest < 0 or largest >= MOST_CLASSES:
        raise _error(
            path,
            f"{name} must number the classes 0, 1, 2, ... (at most {MOST_CLASSES:,} of them), but "
            f"goes from {smallest} to {largest}",
            "number the classes with np.unique(labels, return_inverse=True)[1]",
        )
    return array.astype(np.int64)


def _check_lengths(path: Path, part: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    if len(x) != len(y):
        raise _error(
            path,
            f"x_{part} and y_{part} must have as many examples as labels, but have {len(x)} and "
            f"{len(y)}",
            "give every example one label, in the same order",
        )


def _flat(array: NDArray[Any]) -> NDArray[np.float32]:
    return array.reshape(len(array), -1).astype(np.float32, copy=False)
