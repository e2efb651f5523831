"""`CompiledFunction.export`: object files that C programs call, and other targets."""

import shutil
import struct
import subprocess

import numpy as np
import pytest

import wengert as wg
from wengert.errors import ArgumentError

C_COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_c = pytest.mark.skipif(C_COMPILER is None, reason="no C compiler (gcc or cc) on PATH")


def mlp(params, x, y):
    h = np.tanh(x @ params["w1"] + params["b1"])
    o = h @ params["w2"]
    o = o - np.max(o, axis=1, keepdims=True)
    return -np.sum(y * (o - np.log(np.sum(np.exp(o), axis=1, keepdims=True)))) / 5.0


def mlp_args(rng, dtype):
    params = {
        "b1": rng.normal(size=6),
        "w1": rng.normal(size=(4, 6)),
        "w2": rng.normal(size=(6, 3)),
    }
    params = {k: v.astype(dtype) for k, v in params.items()}
    return params, rng.normal(size=(5, 4)).astype(dtype), np.eye(3, dtype=dtype)[[0, 1, 2, 0, 1]]


def call_from_c(folder, f, args, **options):
    """Export, compile a C program that reads the leaves and writes the results, and run it."""
    compiled = wg.compile(f)
    object_file, header = compiled.export(folder / "step", *args, **options)
    inputs = [np.ascontiguousarray(a) for a in wg.capture.flatten(tuple(args))[0]]
    wanted = [np.asarray(a) for a in wg.capture.flatten(f(*args))[0]]
    sizes_in = ", ".join(str(max(1, a.nbytes)) for a in inputs)
    sizes_out = ", ".join(str(max(1, a.nbytes)) for a in wanted)
    pointers = ", ".join(
        [f"in[{i}]" for i in range(len(inputs))] + [f"out[{i}]" for i in range(len(wanted))]
    )
    program = f"""
#include <stdio.h>
#include <stdlib.h>
#include "step.h"
int main(void) {{
    size_t in_bytes[] = {{ {sizes_in} }}, out_bytes[] = {{ {sizes_out} }};
    void *in[{len(inputs)}], *out[{len(wanted)}];
    for (int i = 0; i < {len(inputs)}; i++) {{
        in[i] = malloc(in_bytes[i]);
        if (fread(in[i], 1, in_bytes[i], stdin) != in_bytes[i]) return 1;
    }}
    for (int i = 0; i < {len(wanted)}; i++) out[i] = malloc(out_bytes[i]);
    void *workspace = malloc(step_workspace_bytes() + 1);
    step({pointers}, (char *)workspace + 1);
    step({pointers}, (char *)workspace + 1);
    for (int i = 0; i < {len(wanted)}; i++) fwrite(out[i], 1, out_bytes[i], stdout);
    return 0;
}}
"""
    (folder / "main.c").write_text(program)
    subprocess.run(
        [
            C_COMPILER,
            "-Wall",
            "-Werror",
            "-I",
            folder,
            folder / "main.c",
            object_file,
            "-lm",
            "-o",
            folder / "main",
        ],
        check=True,
    )
    data = b"".join(a.tobytes() or b"\0" for a in inputs)
    out = subprocess.run([folder / "main"], input=data, capture_output=True, check=True).stdout
    found = []
    for a in wanted:
        found.append(np.frombuffer(out[: a.nbytes], a.dtype).reshape(a.shape))
        out = out[max(1, a.nbytes) :]
    for a, b in zip(found, wanted, strict=True):
        tolerance = 2e-4 if b.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    return header


@needs_c
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cpu", ["generic", "native"])
def test_a_gradient_from_c(tmp_path, rng, dtype, cpu):
    header = call_from_c(tmp_path, wg.value_and_grad(mlp), mlp_args(rng, dtype), cpu=cpu)
    with open(header, encoding="utf-8") as file:
        text = file.read()
    c_type = "float" if dtype == np.float32 else "double"
    for part in (
        f"const {c_type} *params_w1",
        f"{c_type} *out0",
        "void *workspace",
        "size_t step_workspace_bytes(void);",
        "4 × 6, 24 elements; params['w1']",
        "one number; result[0]",
        "result[1]['b1']",
    ):
        assert part in text


@needs_c
@pytest.mark.parametrize(
    "f",
    [
        lambda x: (x, x, x.T, 3.0, np.ones(2)),
        lambda x: np.concatenate([x, x[::-1] * 2.0])[1:, ::2],
        lambda x: np.cumsum(x, axis=1)[:, ::-1],
        lambda x: x[np.array([2, 0, -1])],
        wg.grad(lambda x: np.sum(x[np.array([2, 0, 2])] ** 3) + np.sum(x[1:, :2] * x[:-1, 1:3])),
        wg.hessian(lambda x: np.sum(np.sin(x[0]) * x[1] * x[2] ** 2)),
        lambda x: (x > 0, x[:0], np.sum(x[:0], axis=0)),
        lambda x: np.einsum("ij,kj->ki", x, x) + np.trace(x[:, :3]),
        lambda x: np.diag(x[:, :3]) + np.outer(x[0], x[1])[0, 0],
        lambda x: x.astype(np.float32) @ np.ones((4, 2), np.float32),
    ],
)
def test_operators_from_c(tmp_path, rng, f):
    call_from_c(tmp_path, f, (rng.normal(size=(3, 4)),))


@needs_c
def test_random_numbers_from_c(tmp_path, rng):
    def f(x, key):
        a, b = wg.random.split(key)
        noise = wg.random.normal(a, x.shape, x.dtype)
        kept = wg.nn.dropout(x + noise, 0.4, b)
        return kept, wg.random.bits(a, 5), wg.random.randint(b, 10, shape=(3, 2))

    call_from_c(tmp_path, f, (rng.normal(size=(3, 4)), wg.random.key(5)))


@needs_c
def test_it_links_nothing_but_the_c_library(tmp_path, rng):
    call_from_c(tmp_path, wg.value_and_grad(mlp), mlp_args(rng, np.float64))
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm on PATH")
    out = subprocess.run(
        [nm, "-u", tmp_path / "step.o"], capture_output=True, text=True, check=True
    ).stdout
    undefined = {line.split()[-1] for line in out.splitlines()}
    assert undefined <= {
        "memcpy",
        "memset",
        "memmove",
        "fma",
        "fmaf",
        "floor",
        "floorf",
        "rint",
        "rintf",
        "ceil",
        "ceilf",
        "trunc",
        "truncf",
        "ldexp",
        "_GLOBAL_OFFSET_TABLE_",
    }


def recurrent(w, h, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, np.sum(h)

    h, sums = wg.scan(step, h, xs)
    return np.sum(h * h) + np.sum(sums * sums)


def root(a):
    step = lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1)  # noqa: E731
    return wg.while_loop(lambda s: np.abs(s[0] * s[0] - a) > 1e-12 * a, step, (a, 0))


def nested(x, xs):
    def step(c, x):
        c = wg.fori_loop(0, 3, lambda i, c: np.cos(c + i * x), c)
        return wg.cond(np.sum(c) > 1.0, lambda c: c * 2.0, lambda c: c - 1.0, c), c[::-1]

    return wg.scan(step, x, xs, reverse=True)


def walk(x, key):
    def step(k, x):
        return x + wg.random.normal(wg.random.fold_in(key, k), x.shape)

    return wg.fori_loop(0, 4, step, x)


RECURRENT = (
    np.linspace(-0.3, 0.4, 9).reshape(3, 3),
    np.ones(3),
    np.linspace(-1, 1, 21).reshape(7, 3),
)
CONTROL = {
    "scan": (recurrent, *RECURRENT),
    "gradient of a scan": (wg.value_and_grad(recurrent, argnums=(0, 1, 2)), *RECURRENT),
    "tangent of a scan": (
        lambda *a: wg.jvp(lambda w: recurrent(w, *a[1:]), a[:1], a[:1]),
        *RECURRENT,
    ),
    "Hessian of a scan": (
        lambda *a: wg.hessian(lambda h: recurrent(a[0], h, a[2]))(a[1]),
        *RECURRENT,
    ),
    "within a budget": (wg.grad(recurrent, memory="3kB"), *RECURRENT),
    "in float32": (wg.grad(recurrent), *[a.astype(np.float32) for a in RECURRENT]),
    "no steps": (wg.grad(recurrent), *RECURRENT[:2], np.zeros((0, 3))),
    "while": (root, np.float64(7.0)),
    "tangent of a while": (lambda a: wg.jvp(lambda a: root(a)[0], (a,), (1.0,)), np.float64(7.0)),
    "whiles of a batch": (wg.vmap(root), np.array([1.0, 2.0, 900.0])),
    "true": (wg.value_and_grad(lambda x: wg.cond(x > 0, np.sin, np.exp, x)), np.float64(1.0)),
    "false": (wg.value_and_grad(lambda x: wg.cond(x > 0, np.sin, np.exp, x)), np.float64(-1.0)),
    "nested": (nested, *RECURRENT[1:]),
    "gradient of nested": (wg.grad(lambda x, xs: np.sum(nested(x, xs)[1] ** 2)), *RECURRENT[1:]),
    "random walk": (walk, np.ones(3), wg.random.key(2)),
}


@needs_c
@pytest.mark.parametrize("name", CONTROL)
def test_loops_and_branches_from_c(tmp_path, name):
    f, *args = CONTROL[name]
    call_from_c(tmp_path, f, args)


def test_the_gradient_of_a_loop_of_unknown_length_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"derivative of a while_loop.*of known length"):
        wg.compile(wg.grad(lambda a: root(a)[0])).export(tmp_path / "f", 7.0)


def test_the_operator_in_a_body_is_named(tmp_path):
    f = wg.compile(lambda x: wg.fori_loop(0, 3, lambda _, x: np.linalg.solve(x + np.eye(2), x), x))
    with pytest.raises(ArgumentError, match=r"export: solve of f64\[2,2\].*test_export\.py:\d+"):
        f.export(tmp_path / "f", np.eye(2))


ELF_MACHINE = {"aarch64-linux-gnu": 183, "riscv64-linux-gnu": 243, "armv7-linux-gnueabihf": 40}


@pytest.mark.parametrize("triple", sorted(ELF_MACHINE))
@pytest.mark.parametrize("loops", [False, True])
def test_other_targets(tmp_path, rng, triple, loops):
    f, args = (recurrent, RECURRENT) if loops else (mlp, mlp_args(rng, np.float64))
    path, header = wg.compile(wg.grad(f)).export(
        tmp_path / "f", *args, name="gradient", triple=triple
    )
    with open(path, "rb") as file:
        data = file.read()
    assert data[:4] == b"\x7fELF"
    assert struct.unpack_from("<H", data, 18)[0] == ELF_MACHINE[triple]
    assert b"gradient_workspace_bytes" in data
    with open(header, encoding="utf-8") as file:
        assert f"for {triple}" in file.read()


def test_web_assembly(tmp_path):
    path, _ = wg.compile(lambda x: np.sum(np.exp(x))).export(
        tmp_path / "f", np.ones(5), triple="wasm32-unknown-unknown"
    )
    with open(path, "rb") as file:
        assert file.read(4) == b"\0asm"


def test_an_operator_without_native_code_is_named(tmp_path):
    f = wg.compile(lambda x: np.linalg.solve(x, x))
    with pytest.raises(ArgumentError, match=r"export: solve of f64\[2,2\].*test_export\.py:\d+"):
        f.export(tmp_path / "f", np.eye(2))
    assert list(tmp_path.iterdir()) == []


def test_wrong_options_are_named(tmp_path):
    f = wg.compile(lambda x: x)
    with pytest.raises(ArgumentError, match="no name of a C function"):
        f.export(tmp_path / "f", 1.0, name="a b")
    with pytest.raises(ArgumentError, match="no target 'nothing'"):
        f.export(tmp_path / "f", 1.0, triple="nothing")
    with pytest.raises(ArgumentError, match="is for this machine"):
        f.export(tmp_path / "f", 1.0, triple="aarch64-linux-gnu", cpu="native")
