"""Newton's method: find where a function is zero, with a derivative that nobody wrote.

    x_next = x - f(x) / f'(x)

Run: python examples/newton.py
"""

from collections.abc import Callable

import numpy as np

import wengert as wg


def newton(f: Callable[[float], float], x: float, tolerance: float = 1e-14) -> float:
    """A root of f near x. The loop ends by itself; Python's own `while` is all it takes."""
    value_and_slope = wg.value_and_grad(f)
    step = np.inf
    while abs(step) > tolerance * max(1.0, abs(x)):
        value, slope = value_and_slope(x)
        print(f"  x = {x:.15f}   f(x) = {value:+.1e}   f'(x) = {slope:+.6f}")
        step = value / slope
        x = x - step
    return float(x)


def kepler(eccentricity: float, mean_anomaly: float) -> Callable[[float], float]:
    """Kepler's equation E - e sin E = M as a function that is zero at the eccentric anomaly E."""
    return lambda anomaly: anomaly - eccentricity * np.sin(anomaly) - mean_anomaly


def main() -> None:
    """Solve two equations that have no formula for their solution."""
    print("cos x = x")
    newton(lambda x: np.cos(x) - x, 1.0)

    print("Kepler's equation for Mercury (e = 0.2056), a quarter of its year after perihelion")
    anomaly = newton(kepler(0.2056, np.pi / 2), np.pi / 2)
    print(f"eccentric anomaly: {np.degrees(anomaly):.3f} degrees")


if __name__ == "__main__":
    main()
