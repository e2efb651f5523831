"""What was to be reached, beside what the last results say.

    python benchmarks/reach.py

Reads `results/*.json`; `run_all.py` puts the table at the head of `results/README.md`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from harness import FLOOR, RESULTS, duration, markdown, three_digits

Timings = dict[str, dict[str, float]]


class Aim(NamedTuple):
    """A number asked for and the number found, which must be at least, or at most, that one."""

    what: str
    asked: float
    found: float
    at_least: bool
    show: Callable[[float], str]

    @property
    def met(self) -> bool:
        return self.found >= self.asked if self.at_least else self.found <= self.asked


def _own(timings: Timings) -> float:
    return min(t["median"] for name, t in timings.items() if name.startswith("wengert"))


def _peers(timings: Timings, *but: str) -> dict[str, float]:
    return {
        name: t["median"]
        for name, t in timings.items()
        if not name.startswith(("wengert", FLOOR)) and name not in but
    }


def times_faster(what: str, asked: float, timings: Timings, *peers: str, but: Any = ()) -> Aim:
    """How many times as long the best of these peers takes (of all, if none is named)."""
    chosen = _peers(timings, *but)
    best = min(chosen, key=lambda name: chosen[name] if not peers or name in peers else 1e9)
    return Aim(f"{what}: {best} / wengert", asked, chosen[best] / _own(timings), True, three_digits)


def _logistic(r: Any) -> Iterator[Aim]:
    t = r["seconds_per_call"]
    by_hand, buffer = "Python by hand", "CasADi, raw buffer call"
    yield times_faster("logistic", 1.5, t, by_hand)
    if buffer in t:
        yield times_faster("logistic", 1.0, t, buffer)
    yield times_faster("logistic, ordinary calls", 10.0, t, but=(by_hand, buffer))


def _gelu(r: Any) -> Iterator[Aim]:
    for (size, t), asked in zip(r["seconds_per_call"].items(), (4.0, 3.0, 4.0), strict=True):
        yield times_faster(f"GELU, {size}", asked, t)


def _norm_cross_entropy(r: Any) -> Iterator[Aim]:
    yield times_faster("layer norm + cross-entropy", 2.0, r["seconds_per_call"])


def _mlp_large(r: Any) -> Iterator[Aim]:
    yield times_faster("large perceptron", 1.2, r["seconds_per_call"])
    share = max(r["share_of_products"].values())
    yield Aim("large perceptron: share of its products' speed", 0.85, share, True, three_digits)


def _mlp_small(r: Any) -> Iterator[Aim]:
    yield times_faster("small perceptron", 3.0, r["seconds_per_call"])


def _first_call(r: Any) -> Iterator[Aim]:
    t = {name: found["median"] for name, found in r["seconds"]["first call"].items()}
    for peer, cold, warm in (("tf.function", 1.0, None), ("JAX jit", 0.25, 0.08)):
        if peer not in t:
            continue
        yield Aim(
            f"first call, cold: wengert / {peer}", cold, t["wengert"] / t[peer], False, three_digits
        )
        if warm:
            found = t["wengert, disk cache warm"] / t[peer]
            yield Aim(f"first call, warm: wengert / {peer}", warm, found, False, three_digits)


def _new_size(r: Any) -> Iterator[Aim]:
    found = r["seconds_per_call"]["wengert"]["median"]
    yield Aim("new batch size", 5e-3, found, False, duration)
    yield Aim("new batch size: kernels compiled", 0, r["kernels"]["compiled"], False, three_digits)


def _import_time(r: Any) -> Iterator[Aim]:
    yield Aim("import", 0.06, r["seconds"]["wengert"]["median"], False, duration)


def _explain_page(r: Any) -> Iterator[Aim]:
    yield Aim("explainer's page: ready", 2.0, r["seconds"]["ready"]["median"], False, duration)


def _peak_memory(r: Any) -> Iterator[Aim]:
    own = min(v["first call"] for name, v in r["bytes"].items() if name.startswith("wengert"))
    peers = {n: v["first call"] for n, v in r["bytes"].items() if not n.startswith("wengert")}
    for kind, chosen in (
        ("the best peer", {n: v for n, v in peers.items() if n != "NumPy by hand"}),
        ("NumPy by hand", {n: v for n, v in peers.items() if n == "NumPy by hand"}),
    ):
        if chosen:
            best = min(chosen, key=lambda name: chosen[name])
            yield Aim(
                f"peak memory: wengert / {kind} ({best})",
                1.0,
                own / chosen[best],
                False,
                three_digits,
            )


def _memory_budget(r: Any) -> Iterator[Aim]:
    for depth, found in r["depths"].items():
        for name, values in found.items():
            if values["budget"] is not None:
                share = values["measured"] / values["budget"]
                what = f"memory budget {name}, n = {depth}: measured / budget"
                yield Aim(what, 1.1, share, False, three_digits)
    share = r["process"]["bytes"]["20 states"] / r["process"]["budget"]
    yield Aim(
        "memory budget: resident bytes of the process / budget", 1.1, share, False, three_digits
    )
    # Results of before this was measured do not have it.
    for share, values in r.get("planning", {}).get("shares", {}).items():
        what = f"memory budget: planning 10,000 operations, {share} of the memory"
        yield Aim(what, 1.0, values["seconds"], False, duration)


def _gradient_ratio(r: Any) -> Iterator[Aim]:
    for name, found in r["programs"].items():
        yield Aim(f"gradient / function, {name}", 2.5, found["ratio"], False, three_digits)


def _elimination(r: Any) -> Iterator[Aim]:
    counts, times, least, heuristic = {}, {}, {}, {}
    for name, found in r["programs"].items():
        own = found["multiplications"]
        t = {way: seconds["p10"] for way, seconds in found["seconds"].items()}
        counts[name] = own["auto"] / min(own["forward"], own["reverse"])
        times[name] = t["auto"] / min(t["forward"], t["reverse"])
        known = min(own[f"elimination, {order}"] for order in ("forward", "reverse", "Markowitz"))
        heuristic[name] = own["auto"] / known
        least[name] = found["rank correlation"]
    for what, ratios in (
        ("multiplications, auto / better of forward and reverse", counts),
        ("multiplications, auto / best heuristic order", heuristic),
        ("time, auto / better of forward and reverse", times),
    ):
        worst = max(ratios, key=lambda name: ratios[name])
        yield Aim(f"Jacobian: {what} ({worst})", 1.0, ratios[worst], False, three_digits)
    for what, name in (
        ("median program", sorted(least, key=lambda name: least[name])[len(least) // 2]),
        ("worst program", min(least, key=lambda name: least[name])),
    ):
        yield Aim(
            f"Jacobian: rank correlation of multiplications and time, {what} ({name})",
            0.5,
            least[name],
            True,
            three_digits,
        )


def _one(what: str, asked: float, timings: Timings, peer: str, own: str) -> Iterator[Aim]:
    """How many times as long one peer takes as one of wengert's ways, if both took part."""
    if peer in timings and own in timings:
        ratio = timings[peer]["median"] / timings[own]["median"]
        yield Aim(f"{what}: {peer} / {own}", asked, ratio, True, three_digits)


def _recording_share(what: str, r: Any) -> Iterator[Aim]:
    for name, recorded in r["recording"].items():
        share = recorded["p10"] / r["seconds_per_call"][name]["p10"]
        yield Aim(f"{what}, {name}: recording's share", 1 / 3, share, False, three_digits)


def _tree_lstm(r: Any) -> Iterator[Aim]:
    t = r["seconds_per_call"]
    compiled, plain = "wengert, compiled cell", "wengert, plain cell"
    yield from _one("Tree-LSTM", 2.0, t, "DyNet, autobatch", compiled)
    yield from _one("Tree-LSTM", 1.5, t, "PyTorch by level", compiled)
    yield from _one("Tree-LSTM", 1.2, t, "DyNet, autobatch", plain)
    yield from _recording_share("Tree-LSTM", r)


def _sequence_lstm(r: Any) -> Iterator[Aim]:
    t = r["seconds_per_call"]
    peers = _peers(t)
    best = min(peers, key=lambda name: peers[name])
    yield from _one("LSTM over sequences", 2.0, t, best, "wengert, compiled cell")
    yield from _one("LSTM over sequences", 1.0, t, best, "wengert, plain cell")
    yield from _recording_share("LSTM over sequences", r)


def _against_unbatched(what: str, asked: float) -> Callable[[Any], Iterator[Aim]]:
    """The speed-up that DyNet's paper tells of its own batching, and DyNet on the same model."""

    def rows(r: Any) -> Iterator[Aim]:
        t = r["seconds_per_call"]
        own = "wengert, compiled cell"
        yield from _one(what, asked, t, "wengert, not batched", own)
        yield from _one(what, 1.0, t, "DyNet, autobatch", own)

    return rows


def _many_structures(r: Any) -> Iterator[Aim]:
    what = f"{r['structures']} distinct structures"
    yield Aim(f"{what}: MB that memory grew", r["asked_mb"], r["grown_mb"], False, three_digits)
    yield Aim(f"{what}: kernels compiled late", 0, r["late_kernels"], False, three_digits)


def _recording(r: Any) -> Iterator[Aim]:
    t, n = r["seconds_per_call"], r["operations"]
    own = t["wengert"]["median"]
    yield Aim("one operation of a dynamic graph", 0.5e-6, own / n, False, duration)
    for peer, asked in (("PyTorch eager", 20.0), ("DyNet (float32)", 1.0)):
        if peer in t:
            found = t[peer]["median"] / own
            yield Aim(f"dynamic graph: {peer} / wengert", asked, found, True, three_digits)
    if "distinct_structures" in r:
        modules = r["distinct_structures"]["modules"]
        yield Aim("ten thousand structures: modules compiled", 3, modules, False, three_digits)


_AIMS = {
    "logistic": _logistic,
    "gelu": _gelu,
    "norm_cross_entropy": _norm_cross_entropy,
    "mlp_large": _mlp_large,
    "mlp_small": _mlp_small,
    "first_call": _first_call,
    "new_size": _new_size,
    "import_time": _import_time,
    "explain_page": _explain_page,
    "peak_memory": _peak_memory,
    "elimination": _elimination,
    "recording": _recording,
    "tree_lstm": _tree_lstm,
    "sequence_lstm": _sequence_lstm,
    "bilstm_tagger": _against_unbatched("BiLSTM tagger", 9.0),
    "transition": _against_unbatched("transition-style model", 3.6),
    "many_structures": _many_structures,
    "memory_budget": _memory_budget,
    "gradient_ratio": _gradient_ratio,
}


def aims() -> list[Aim]:
    """All aims for which there are results."""
    found: list[Aim] = []
    for name, rows in _AIMS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            found += rows(json.loads(path.read_text()))
    return found


def table() -> str:
    rows = [
        [
            aim.what,
            f"{'at least' if aim.at_least else 'at most'} {aim.show(aim.asked)}",
            aim.show(aim.found),
            "yes" if aim.met else "**no**",
        ]
        for aim in aims()
    ]
    return markdown(["", "asked", "measured", "met"], rows)


if __name__ == "__main__":
    print(table())
