"""Fit a physical model to measurements by differentiating through its simulation.

A pendulum of unknown length and unknown damping swings from 60 degrees. Its angle obeys

    angle'' = -(gravity / length) sin(angle) - damping * angle'

and is measured fifty times in five seconds, with noise. The simulation below is plain NumPy, a
loop of Runge-Kutta steps; its derivative by length and damping comes from wengert, and Gauss-Newton
steps find the two numbers that fit the measurements best.

Run: python examples/pendulum.py
"""

from typing import Any

import numpy as np

import wengert as wg

GRAVITY = 9.81  # m/s^2
TIME_STEP = 0.1  # s
STEPS = 50
START = np.array([np.pi / 3, 0.0])  # angle in radians, angular velocity in radians per second
NOISE = 0.02  # radians


def motion(state: Any, length: Any, damping: Any) -> Any:
    """Time derivative of (angle, angular velocity)."""
    angle, velocity = state[0], state[1]
    return np.stack([velocity, -GRAVITY / length * np.sin(angle) - damping * velocity])


def simulate(model: Any) -> Any:
    """Angle after each time step, for a model (length in m, damping in 1/s)."""
    length, damping = model[0], model[1]
    state, angles = START, []
    for _ in range(STEPS):
        k1 = motion(state, length, damping)
        k2 = motion(state + 0.5 * TIME_STEP * k1, length, damping)
        k3 = motion(state + 0.5 * TIME_STEP * k2, length, damping)
        k4 = motion(state + TIME_STEP * k3, length, damping)
        state = state + TIME_STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles.append(state[0])
    return np.stack(angles)


def fit(measured: Any, model: Any, rounds: int = 6) -> Any:
    """Gauss-Newton: solve the linearised least-squares problem, move there, repeat."""
    # Two parameters and fifty angles: forward mode needs two sweeps, reverse mode fifty.
    jacobian = wg.jacobian(simulate, mode="forward")
    for number in range(rounds):
        difference = simulate(model) - measured
        print(
            f"  round {number}: length {model[0]:.4f} m, damping {model[1]:.4f} /s, "
            f"off by {np.sqrt(np.mean(difference**2)):.4f} rad"
        )
        change, *_ = np.linalg.lstsq(jacobian(model), -difference, rcond=None)
        model = model + change
    return model


def main() -> None:
    """Make noisy measurements of a known pendulum and find it again."""
    true_model = np.array([1.2, 0.15])
    noise = NOISE * np.random.default_rng(1).normal(size=STEPS)
    model = fit(simulate(true_model) + noise, model=np.array([1.0, 0.0]))
    print(f"found: length {model[0]:.3f} m (true 1.200), damping {model[1]:.3f} /s (true 0.150)")


if __name__ == "__main__":
    main()
