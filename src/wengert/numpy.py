"""NumPy's functions for traced values and for plain arrays alike: `import wengert.numpy as wnp`.

NumPy's own functions accept traced values too (`np.sin(x)`, `np.sum(x)`). This module adds what
NumPy's protocols can't reach, under NumPy's names and signatures:

- creating arrays: `wnp.array([x, y])`, and `out = wnp.zeros(3); out[0] = x`;
- lists that contain traced values as arguments: `wnp.sum([x, y])`;
- functions that NumPy lacks: `erf`, `sigmoid`, `softplus`, `relu`, `logsumexp`, `softmax`, ….

Given plain arrays, each function is NumPy's own and returns NumPy's arrays.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert.capture.functions import PUBLIC
from wengert.capture.variable import UFUNCS
from wengert.ops import Elementwise, special

#: NumPy's constants and dtypes that programs write as attributes of the module.
_VALUES = (
    "bool_",
    "dtype",
    "e",
    "euler_gamma",
    "float16",
    "float32",
    "float64",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "intp",
    "nan",
    "newaxis",
    "pi",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "finfo",
    "iinfo",
    "errstate",
    "ndarray",
    "s_",
    "ix_",
    "ndindex",
    "indices",
    "unravel_index",
    "ravel_multi_index",
    "tril_indices",
    "triu_indices",
    "diag_indices",
    "broadcast_shapes",
)


def _names() -> dict[str, Any]:
    # NumPy's ufuncs reach the operators by themselves; so do SciPy's, which have operators here.
    found: dict[str, Any] = {
        name: op for name, op in vars(special).items() if isinstance(op, Elementwise)
    }
    # Not by dir(np): it names packages of NumPy that would be imported only to be passed over.
    found |= {
        name: value
        for name, value in vars(np).items()
        if isinstance(value, np.ufunc) and value.__name__ in UFUNCS
    }
    found.update({name: f for (module, name), f in PUBLIC.items() if not module})
    found.update({name: getattr(np, name) for name in _VALUES})
    return found


_found = _names()
globals().update(_found)

linalg = SimpleNamespace(**{name: f for (module, name), f in PUBLIC.items() if module == "linalg"})
linalg.LinAlgError = np.linalg.LinAlgError

__all__: list[str] = []
__all__.extend((*sorted(_found), "linalg"))

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
