"""The disk cache of kernels: other processes, crashes, damage, size."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest

from wengert.codegen import cache

PROGRAM = """
import json, sys
import numpy as np
import wengert as wg
from wengert.codegen import engine
x = np.linspace(0.1, 1.0, 7)
for n in range(int(sys.argv[1])):
    f = wg.compile(wg.value_and_grad(lambda x: np.sum(np.exp(x) * np.sin(x) ** (n + 3))))
    value, gradient = f(x)
    wanted = wg.value_and_grad(lambda x: np.sum(np.exp(x) * np.sin(x) ** (n + 3)))(x)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-10)
    np.testing.assert_allclose(gradient, wanted[1], rtol=1e-10)
print(json.dumps({**engine.statistics, "llvm": "wengert.codegen.llvm" in sys.modules}))
"""


def start(folder, kernels=1):
    environment = {**os.environ, "WENGERT_CACHE": str(folder) if folder is not None else ""}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(kernels)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(out)


def run(folder, kernels=1):
    return finish(start(folder, kernels))


def test_a_second_process_does_no_llvm_work(tmp_path):
    first = run(tmp_path)
    assert first["modules"] > 0
    assert first["compiled"] > 0
    second = run(tmp_path)
    assert second["modules"] == 0
    assert second["compiled"] == 0
    assert second["seconds"] == 0.0
    assert second["from_disk"] == first["compiled"]
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert first["llvm"]
        assert not second["llvm"], "a warm start imports LLVM"
    names = os.listdir(tmp_path)
    assert not [n for n in names if n.endswith(".part")]


def test_a_damaged_file_is_ignored_and_replaced(tmp_path):
    first = run(tmp_path)
    names = sorted(os.listdir(tmp_path))
    contents = {n: (tmp_path / n).read_bytes() for n in names}
    damages = [
        lambda d: b"",
        lambda d: d[:-1],
        lambda d: d[:40] + bytes([d[40] ^ 1]) + d[41:],
        lambda d: b"\x7fELF" + d,
        lambda d: d[: len(d) // 2] + bytes(len(d) - len(d) // 2),
    ]
    for shift in (0, 2):
        for k, n in enumerate(names):
            (tmp_path / n).write_bytes(damages[(k + shift) % len(damages)](contents[n]))
        again = run(tmp_path)
        assert again["compiled"] == first["compiled"]
        assert again["from_disk"] == 0
    assert {n: (tmp_path / n).read_bytes() for n in names}.keys() == contents.keys()
    assert run(tmp_path)["modules"] == 0


def test_exchanged_files_are_ignored(tmp_path):
    run(tmp_path, 2)
    names = sorted(os.listdir(tmp_path))
    contents = [(tmp_path / n).read_bytes() for n in names]
    for n, other in zip(names, [*contents[1:], contents[0]], strict=True):
        (tmp_path / n).write_bytes(other)
    assert run(tmp_path, 2)["from_disk"] == 0


def test_many_writers_at_once(tmp_path):
    found = [finish(p) for p in [start(tmp_path, 2) for _ in range(4)]]
    assert all(
        f["compiled"] + f["from_disk"] == found[0]["compiled"] + found[0]["from_disk"]
        for f in found
    )
    assert not [n for n in os.listdir(tmp_path) if n.endswith(".part")]
    assert run(tmp_path, 2)["modules"] == 0


def test_a_process_killed_while_it_writes_leaves_nothing_harmful(tmp_path):
    process = start(tmp_path, 6)
    deadline = time.time() + 120
    while not (tmp_path.exists() and os.listdir(tmp_path)) and time.time() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdout.close()
    (tmp_path / "left.1.2.part").write_bytes(b"half")
    run(tmp_path, 2)
    assert run(tmp_path, 2)["modules"] == 0


@pytest.mark.parametrize("where", ["none", "file", "unwritable"])
def test_without_a_usable_folder_everything_is_compiled(tmp_path, where):
    folder = None
    if where == "file":
        folder = tmp_path / "file"
        folder.write_text("not a folder")
    elif where == "unwritable":
        folder = tmp_path / "file" / "below"
        (tmp_path / "file").write_text("not a folder")
    assert run(folder)["modules"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ([] if folder is None else ["file"])


def test_the_folder_is_bounded_and_drops_what_was_not_used_for_longest(tmp_path, monkeypatch):
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "CACHE_BYTES", 10 * 4096)
    now = time.time()
    for n in range(30):
        cache.write(f"k{n}", b"x" * 100)
        os.utime(tmp_path / f"k{n}", (now - 90_000 + n, now - 90_000 + n))
    assert cache.read("k0") == b"x" * 100  # used: the youngest now
    (tmp_path / "crashed.part").write_bytes(b"")
    os.utime(tmp_path / "crashed.part", (now - 7200, now - 7200))
    (tmp_path / "writing.part").write_bytes(b"")
    cache.trim()
    left = set(os.listdir(tmp_path))
    assert left == {"k0", "writing.part", *(f"k{n}" for n in range(22, 30))}


def test_an_interrupted_write_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path))

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(cache.os, "replace", fail)
    cache.write("name", b"body")
    assert os.listdir(tmp_path) == []


def test_the_folder_belongs_to_the_user_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("WENGERT_CACHE", str(tmp_path / "new"))
    cache.write("name", b"body")
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
