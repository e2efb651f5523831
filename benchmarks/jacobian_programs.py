"""Programs on which orders of accumulation are compared, written from the published mathematics.

The set is that of J. Lohoff and E. Neftci, "Optimizing automatic differentiation with deep
reinforcement learning" (NeurIPS 2024, arXiv 2406.05027), who took it from the literature on
Jacobian accumulation. Counts depend on how a program is written, so that theirs and ours differ;
orders are compared on one graph.

- Roe's flux: P. L. Roe, "Approximate Riemann solvers, parameter vectors, and difference schemes",
  Journal of Computational Physics 43, 1981; the formulas are those of E. F. Toro, "Riemann solvers
  and numerical methods for fluid dynamics", third edition, Springer 2009, section 11.2.
- Arm: forward kinematics of six revolute joints by Denavit and Hartenberg's matrices, with the
  link lengths of the PUMA 560 (J. J. Craig, "Introduction to robotics", section 3.7).
- Human heart dipole, combustion of propane: B. M. Averick, R. G. Carter, J. J. Moré and G.-L. Xue,
  "The MINPACK-2 test problem collection", Argonne National Laboratory, 1992, problems 3.6 and 3.7.
- Black and Scholes: F. Black and M. Scholes, "The pricing of options and corporate liabilities",
  Journal of Political Economy 81, 1973; here the first derivatives, so that the Jacobian has the
  second ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import wengert as wg
import wengert.numpy as wnp

GAMMA = 1.4


class Program(NamedTuple):
    """A function, and arguments at which it is differentiable; its Jacobian is by `argnums`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    argnums: tuple[int, ...]


# ---------------------------------------------------------------- Roe's flux


def _flow(rho: Any, momentum: tuple[Any, ...], energy: Any) -> Any:
    """Velocities, pressure and enthalpy of a state."""
    velocity = tuple(m / rho for m in momentum)
    kinetic = 0.5 * sum(m * v for m, v in zip(momentum[1:], velocity[1:], strict=True))
    kinetic = kinetic + 0.5 * momentum[0] * velocity[0]
    pressure = (GAMMA - 1.0) * (energy - kinetic)
    return velocity, pressure, (energy + pressure) / rho


def _flux(momentum: tuple[Any, ...], energy: Any, velocity: Any, pressure: Any) -> list[Any]:
    first = [momentum[0], momentum[0] * velocity[0] + pressure]
    across = [momentum[0] * v for v in velocity[1:]]
    return [*first, *across, (energy + pressure) * velocity[0]]


def _roe(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    """Roe's flux between two states (density, momenta, energy)."""
    sides = []
    for rho, *momentum, energy in (left, right):
        velocity, pressure, enthalpy = _flow(rho, tuple(momentum), energy)
        flux = _flux(tuple(momentum), energy, velocity, pressure)
        sides.append((np.sqrt(rho), velocity, enthalpy, flux))
    (a, u_left, h_left, f_left), (b, u_right, h_right, f_right) = sides
    total = a + b
    u, *across = [(a * p + b * q) / total for p, q in zip(u_left, u_right, strict=True)]
    h = (a * h_left + b * h_right) / total
    squares = sum((v * v for v in across), 0.0)
    speed = u * u + squares if across else u * u
    c = np.sqrt((GAMMA - 1.0) * (h - 0.5 * speed))
    jump = [q - p for p, q in zip(left, right, strict=True)]
    shear = [d - v * jump[0] for d, v in zip(jump[2:-1], across, strict=True)]
    energy = jump[-1]
    for s, v in zip(shear, across, strict=True):
        energy = energy - s * v
    entropy = (GAMMA - 1.0) / (c * c) * (jump[0] * (h - u * u) + u * jump[1] - energy)
    slow = (jump[0] * (u + c) - jump[1] - c * entropy) / (2.0 * c)
    fast = jump[0] - slow - entropy
    # Strength times speed of each wave.
    w_slow, w_middle, w_fast = slow * abs(u - c), entropy * abs(u), fast * abs(u + c)
    sheared = [s * abs(u) for s in shear]
    waves = [w_slow + w_middle + w_fast]
    waves.append(w_slow * (u - c) + w_middle * u + w_fast * (u + c))
    waves += [waves[0] * v + s for v, s in zip(across, sheared, strict=True)]
    last = w_slow * (h - u * c) + w_middle * (0.5 * speed) + w_fast * (h + u * c)
    for s, v in zip(sheared, across, strict=True):
        last = last + s * v
    waves.append(last)
    return tuple(0.5 * (p + q) - 0.5 * w for p, q, w in zip(f_left, f_right, waves, strict=True))


def roe_flux_1d(r1: Any, m1: Any, e1: Any, r2: Any, m2: Any, e2: Any) -> Any:
    return _roe((r1, m1, e1), (r2, m2, e2))


def roe_flux_3d(*state: Any) -> Any:
    return _roe(state[:5], state[5:])


# ---------------------------------------------------------------- a robot arm


def _links() -> list[tuple[float, int, int, float]]:
    """Length, cosine and sine of the twist, offset of each link of the PUMA 560, in metres."""
    return [
        (0.0, 0, 1, 0.0),
        (0.4318, 1, 0, 0.0),
        (0.0203, 0, -1, 0.15005),
        (0.0, 0, 1, 0.4318),
        (0.0, 0, -1, 0.0),
        (0.0, 1, 0, 0.0),
    ]


def _product(a: list[list[Any]], b: list[list[Any]]) -> list[list[Any]]:
    """The product of two affine maps of space, without the terms that are zero."""
    found = []
    for row in a:
        made = []
        for j in range(4):
            terms = [_times(row[k], b[k][j]) for k in range(3)] + [row[3] if j == 3 else 0]
            kept = [t for t in terms if not (isinstance(t, (int, float)) and t == 0)]
            made.append(sum(kept[1:], kept[0]) if kept else 0)
        found.append(made)
    return found


def _times(x: Any, y: Any) -> Any:
    for a, b in ((x, y), (y, x)):
        if isinstance(a, (int, float)) and a in (0, 1, -1):
            return 0 if a == 0 else b if a == 1 else -b
    return x * y


def robot_arm(*angles: Any) -> Any:
    """Position and orientation (three angles) of the hand from the angles of six joints."""
    pose: list[list[Any]] = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    for angle, (length, ca, sa, offset) in zip(angles, _links(), strict=True):
        c, s = np.cos(angle), np.sin(angle)
        link = [
            [c, _times(-ca, s), _times(sa, s), _times(length, c)],
            [s, _times(ca, c), _times(-sa, c), _times(length, s)],
            [0, sa, ca, offset],
        ]
        pose = _product(pose, link)
    (xx, _, _, x), (yx, _, _, y), (zx, zy, zz, z) = pose
    roll, yaw = np.arctan2(zy, zz), np.arctan2(yx, xx)
    pitch = np.arctan2(-zx, np.sqrt(zy * zy + zz * zz))
    return x, y, z, roll, pitch, yaw


# ---------------------------------------------------------------- MINPACK-2


def human_heart_dipole(
    x1: Any, x2: Any, x3: Any, x4: Any, x5: Any, x6: Any, x7: Any, x8: Any
) -> Any:
    mx, my, a, b, c, d, e, f = 0.485, -0.0019, -0.0581, 0.015, 0.105, 0.0406, 0.167, -0.399
    s5, s6, s7, s8 = x5 * x5, x6 * x6, x7 * x7, x8 * x8
    return (
        x1 + x2 - mx,
        x3 + x4 - my,
        x5 * x1 + x6 * x2 - x7 * x3 - x8 * x4 - a,
        x7 * x1 + x8 * x2 + x5 * x3 + x6 * x4 - b,
        x1 * (s5 - s7) - 2.0 * x3 * x5 * x7 + x2 * (s6 - s8) - 2.0 * x4 * x6 * x8 - c,
        x3 * (s5 - s7) + 2.0 * x1 * x5 * x7 + x4 * (s6 - s8) + 2.0 * x2 * x6 * x8 - d,
        x1 * x5 * (s5 - 3.0 * s7)
        + x3 * x7 * (s7 - 3.0 * s5)
        + x2 * x6 * (s6 - 3.0 * s8)
        + x4 * x8 * (s8 - 3.0 * s6)
        - e,
        x3 * x5 * (s5 - 3.0 * s7)
        - x1 * x7 * (s7 - 3.0 * s5)
        + x4 * x6 * (s6 - 3.0 * s8)
        - x2 * x8 * (s8 - 3.0 * s6)
        - f,
    )


def propane_combustion(*x: Any) -> Any:
    x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 = x
    r, p = 10.0, 40.0
    k5, k6, k7, k8, k9, k10 = 1.930e-1, 2.597e-3, 3.448e-3, 1.799e-5, 2.155e-4, 3.846e-5
    share = p / x11
    root = np.sqrt(share)
    r1, r2, r3, r4 = np.sqrt(x1), np.sqrt(x2), np.sqrt(x3), np.sqrt(x4)
    return (
        x1 + x4 - 3.0,
        2.0 * x1 + x2 + x4 + x7 + x8 + x9 + 2.0 * x10 - r,
        2.0 * x2 + 2.0 * x5 + x6 + x7 - 8.0,
        2.0 * x3 + x9 - 4.0 * r,
        k5 * x2 * x4 - x1 * x5,
        k6 * r2 * r4 - r1 * x6 * root,
        k7 * r1 * r2 - r4 * x7 * root,
        k8 * x1 - x4 * x8 * share,
        k9 * x1 * r3 - x4 * x9 * root,
        k10 * x1 * x1 - x4 * x4 * x10 * share,
        x11 - (x1 + x2 + x3 + x4 + x5 + x6 + x7 + x8 + x9 + x10),
    )


# ---------------------------------------------------------------- Black and Scholes


def _call_price(spot: Any, strike: Any, rate: Any, volatility: Any, time: Any) -> Any:
    root = volatility * np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * time) / root
    d2 = d1 - root

    def normal(d: Any) -> Any:
        return 0.5 * (1.0 + wnp.erf(d * np.sqrt(0.5)))

    return spot * normal(d1) - strike * np.exp(-rate * time) * normal(d2)


black_scholes = wg.grad(_call_price, argnums=(0, 1, 2, 3, 4))


# ---------------------------------------------------------------- perceptrons


def perceptron(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, y: Any) -> Any:
    """The squared error of a perceptron with one hidden layer."""
    error = np.tanh(w2 @ np.tanh(w1 @ x + b1) + b2) - y
    return 0.5 * np.sum(error * error)


def bottleneck(x: Any, w1: Any, w2: Any) -> Any:
    """Many numbers through few, and back to many."""
    return np.tanh(w2 @ np.tanh(w1 @ x))


def programs() -> dict[str, Program]:
    """Every program of the set, by name."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return 0.5 * rng.standard_normal(shape)

    left, right = (1.0, 0.75, 2.8), (0.6, 0.3, 1.9)
    left_3d, right_3d = (1.0, 0.75, 0.2, -0.1, 2.8), (0.6, 0.3, 0.1, 0.15, 1.9)
    scalars = {
        "Roe flux, 1 dimension": (roe_flux_1d, (*left, *right)),
        "Roe flux, 3 dimensions": (roe_flux_3d, (*left_3d, *right_3d)),
        "robot arm, 6 joints": (robot_arm, (0.3, -0.7, 0.5, 0.9, -0.4, 0.2)),
        "human heart dipole": (
            human_heart_dipole,
            (0.3, 0.2, 0.1, -0.1, 0.5, 0.7, -0.3, 0.4),
        ),
        "propane combustion": (
            propane_combustion,
            (2.9, 3.9, 19.9, 0.1, 0.3, 0.2, 0.4, 0.1, 0.2, 0.3, 28.0),
        ),
        "Black–Scholes, second order": (black_scholes, (100.0, 95.0, 0.03, 0.2, 0.75)),
    }
    found = {
        name: Program(f, tuple(np.float64(a) for a in args), tuple(range(len(args))))
        for name, (f, args) in scalars.items()
    }
    weights = (normal(4, 3), normal(4), normal(2, 4), normal(2))
    found["perceptron 3-4-2, by its weights"] = Program(
        perceptron, (*weights, normal(3), normal(2)), (0, 1, 2, 3)
    )
    found["perceptron 8-2-8, by its input"] = Program(
        bottleneck, (normal(8), normal(2, 8), normal(8, 2)), (0,)
    )
    return found
