"""What a gradient costs beside its function: eleven compiled programs with one number as result.

    python benchmarks/gradient_ratio.py

The ratio of the time of `compile(value_and_grad(f))` to that of `compile(f)`, and of the counted
operations. Reverse mode needs at most about four times the operations of the function, whatever
the number of inputs (Griewank and Walther, "Evaluating Derivatives", 2008, section 4.6). Each
gradient is checked first: along a random direction against a central difference.

Whether a second core helps with a program is found by trials in each process, and may come out one
way or the other: so the medians are those of several processes, and the ratios are given of all.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import models
import numpy as np
from harness import (
    QUICK,
    SHORT_PAUSE,
    compare,
    duration,
    fresh,
    left_out,
    markdown,
    three_digits,
    versions,
    write,
)

import wengert as wg
from wengert.nn import log_softmax
from wengert.numpy import logsumexp

#: How many processes measure.
PROCESSES = 5

Program = tuple[Callable[..., Any], tuple[Any, ...]]


def logistic(w: Any, x: Any, b: Any) -> Any:
    return 1 / (np.exp(-(w * x + b)) + 1)


def rosenbrock(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def regression(w: Any, x: Any, y: Any) -> Any:
    z = x @ w
    return np.mean(np.logaddexp(0.0, z) - y * z) + 1e-3 * np.sum(w * w)


def factorisation(factors: Any, ratings: Any) -> Any:
    left, right = factors
    error = ratings - left @ right.T
    return np.sum(error * error) + 0.1 * (np.sum(left * left) + np.sum(right * right))


def mixture(params: Any, x: Any) -> Any:
    """Minus the log likelihood of a mixture of Gaussians with diagonal covariances."""
    logits, means, log_scales = params
    z = (x[:, None, :] - means) * np.exp(-log_scales)
    rows = log_softmax(logits) - 0.5 * np.sum(z * z, axis=2) - np.sum(log_scales, axis=1)
    return -np.sum(logsumexp(rows, axis=1))


def n_body(x: Any, masses: Any) -> Any:
    """The potential energy of bodies, softened."""
    d = x[:, None, :] - x[None, :, :]
    distance = np.sqrt(np.sum(d * d, axis=2) + 1e-2)
    return -0.5 * np.sum(masses[:, None] * masses[None, :] / distance)


def reprojection(params: Any, observed: Any) -> Any:
    """Bundle adjustment: squared error of projected points, each seen by a camera of its own."""
    rotation, shift, points = params
    angle = np.sqrt(np.sum(rotation * rotation, axis=1, keepdims=True))
    axis = rotation / angle
    cos, sin = np.cos(angle), np.sin(angle)
    dot = np.sum(axis * points, axis=1, keepdims=True)
    turned = points * cos + np.cross(axis, points) * sin + axis * dot * (1.0 - cos) + shift
    plane = turned[:, :2] / turned[:, 2:]
    radius = np.sum(plane * plane, axis=1, keepdims=True)
    error = plane * (1.0 + 0.1 * radius + 0.01 * radius * radius) - observed
    return np.sum(error * error)


def recurrent(params: Any, inputs: Any) -> Any:
    """An LSTM over a sequence, unrolled; the squared length of its last state."""
    w, u, b = params
    h = c = np.zeros((inputs.shape[1], u.shape[0]), inputs.dtype)
    n = u.shape[0]
    for x in inputs:
        z = x @ w + h @ u + b
        gates = 1.0 / (1.0 + np.exp(-z[:, : 3 * n]))
        c = gates[:, :n] * c + gates[:, n : 2 * n] * np.tanh(z[:, 3 * n :])
        h = gates[:, 2 * n :] * np.tanh(c)
    return np.sum(h * h)


def perceptron(layers: Any, x: Any, one_hot: Any) -> Any:
    return models.mlp_loss(layers, x, one_hot, np, log_softmax)


def programs() -> dict[str, Program]:
    rng = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1.0) -> Any:
        return scale * rng.standard_normal(shape)

    far = np.array([0.0, 0.0, 5.0])
    perceptron_data = models.mlp_data(models.LARGE, models.LARGE_BATCH)
    return {
        "logistic function of numbers": (logistic, (0.7, -1.3, 0.4)),
        "Rosenbrock's function, 10,000": (rosenbrock, (normal(10_000),)),
        "GELU, 100,000 float32": (models.gelu_sum, (normal(100_000).astype(np.float32),)),
        "logistic regression, 2,000 × 100": (
            regression,
            (normal(100), normal(2000, 100), rng.integers(0, 2, 2000).astype(float)),
        ),
        "matrix factorisation, 500 × 400, rank 20": (
            factorisation,
            ((normal(500, 20), normal(400, 20)), normal(500, 400)),
        ),
        "Gaussian mixture, 1,000 × 10, 20 parts": (
            mixture,
            ((normal(20), normal(20, 10), normal(20, 10, scale=0.1)), normal(1000, 10)),
        ),
        "energy of 200 bodies": (n_body, (normal(200, 3), rng.uniform(0.5, 1.5, 200))),
        "bundle adjustment, 5,000 points": (
            reprojection,
            (
                (normal(5000, 3, scale=0.3), normal(5000, 3, scale=0.1), far + normal(5000, 3)),
                normal(5000, 2, scale=0.1),
            ),
        ),
        "LSTM, 8 steps, 32 × 64": (
            recurrent,
            (
                (normal(16, 256, scale=0.2), normal(64, 256, scale=0.1), normal(256, scale=0.1)),
                normal(8, 32, 16),
            ),
        ),
        "layer norm + cross-entropy, 512 × 512 float32": (
            models.norm_cross_entropy,
            models.norm_cross_entropy_data(512),
        ),
        "perceptron 784-512-512-10, batch 128 float32": (perceptron, perceptron_data),
    }


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [tree]


def _moved(tree: Any, direction: Any, distance: float) -> Any:
    if isinstance(tree, (tuple, list)):
        return [_moved(a, b, distance) for a, b in zip(tree, direction, strict=True)]
    return np.asarray(tree, np.float64) + distance * direction


def _direction(tree: Any, rng: Any) -> Any:
    if isinstance(tree, (tuple, list)):
        return [_direction(part, rng) for part in tree]
    return rng.standard_normal(np.shape(tree))


def check(name: str, f: Any, args: Any, gradient: Any) -> None:
    """Compare the slope along a random direction with a central difference, in float64."""
    first, *rest = args
    direction = _direction(first, np.random.default_rng(1))
    step = 1e-6
    up, down = (f(_moved(first, direction, s), *rest) for s in (step, -step))
    slope = sum(
        float(np.sum(np.asarray(a, np.float64) * b))
        for a, b in zip(_leaves(gradient), _leaves(direction), strict=True)
    )
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=2e-3, err_msg=name)


def child() -> None:
    """One process: the times of each program, printed as JSON."""
    found: dict[str, Any] = {}
    for name, (f, args) in programs().items():
        function, gradient = wg.compile(f), wg.compile(wg.value_and_grad(f))
        try:
            value, slope = gradient(*args)
            np.testing.assert_allclose(value, function(*args), rtol=1e-5, err_msg=name)
            check(name, f, args, slope)
        except AssertionError as error:
            print(error, file=sys.stderr)
            found[name] = None
            continue
        wg.finish_compiling()
        times = compare(
            {
                "function": lambda function=function, args=args: function(*args),
                "value and gradient": lambda gradient=gradient, args=args: gradient(*args),
            },
            rounds=15,
            seconds=0.02,
            pause=SHORT_PAUSE,
        )
        flops = [g.report(*args).cost.flops for g in (function, gradient)]
        found[name] = {"seconds": times, "operations": flops}
    print(json.dumps(found))


def main() -> None:
    runs = [fresh("gradient_ratio.py", "--child") for _ in range(1 if QUICK else PROCESSES)]
    record, rows, wrong = {}, [], []
    for name in programs():
        found = [run[name] for run in runs]
        if None in found:
            wrong.append(name)
            left_out(name, "its results are wrong")
            continue
        pairs = [
            [run["seconds"][what]["median"] for what in ("function", "value and gradient")]
            for run in found
        ]
        a, b = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios = sorted(second / first for first, second in pairs)
        ratio, flops = statistics.median(ratios), found[0]["operations"]
        record[name] = {
            "seconds": [run["seconds"] for run in found],
            "ratio": ratio,
            "ratios": ratios,
            "operations": flops,
        }
        rows.append(
            [
                name,
                duration(a),
                duration(b),
                three_digits(ratio),
                f"{three_digits(ratios[0])} to {three_digits(ratios[-1])}",
                three_digits(flops[1] / flops[0]),
            ]
        )
    table = markdown(
        [
            "program",
            "function",
            "value and gradient",
            "time ratio",
            "of all processes",
            "ratio of operations",
        ],
        rows,
    )
    write(
        "gradient_ratio",
        {
            "title": "What a gradient costs beside its function",
            "programs": record,
            "versions": versions("scipy", "llvmlite"),
        },
        table,
    )
    if wrong:
        sys.exit(f"wrong results: {', '.join(wrong)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        child()
    else:
        main()
