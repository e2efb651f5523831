"""The derivative of an algorithm: of a `while` loop that stops when it has converged.

Heron's method computes a square root by repeated averaging. How often it averages depends on the
number, so the graph of its operations is another one for every number; wengert records what the
loop did and differentiates that. The result can be checked: sqrt(a) has derivative 1 / (2 sqrt(a)).

Run: python examples/while_loop.py
"""

import numpy as np

import wengert as wg


def heron(a: float) -> float:
    """The square root of a positive number."""
    root = 0.5 * (1.0 + a)
    while abs(root * root - a) > 1e-14 * a:
        root = 0.5 * (root + a / root)
    # Once the root is right, the next average has the right derivative whatever the one before
    # had, and the average after that the right second derivative.
    for _ in range(2):
        root = 0.5 * (root + a / root)
    return root


def main() -> None:
    """Compare values and two derivatives with the closed forms."""
    slope = wg.grad(heron)
    curvature = wg.grad(slope)
    print("      a     heron(a)   derivative   1/(2 sqrt a)   second derivative   -1/(4 a^1.5)")
    for a in (0.01, 0.5, 2.0, 100.0):
        print(
            f"{a:7.2f} {heron(a):12.8f} {slope(a):12.8f} {0.5 / np.sqrt(a):14.8f}"
            f" {curvature(a):19.8f} {-0.25 / a**1.5:14.8f}"
        )


if __name__ == "__main__":
    main()
