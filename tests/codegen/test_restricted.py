"""Functions of words compute, compiled, what they compute as Python."""

import ctypes

import numpy as np
import pytest

from wengert.codegen.engine import words_addresses
from wengert.codegen.restricted import build_words, words

LIMIT = {"rounds": 40}


@words
def gcd(a, b):
    """Euclid's algorithm."""
    while b != 0:
        a, b = b, a % b
    return a


@words
def collatz(n):
    steps = 0
    while 1:
        if n == 1 or steps >= LIMIT["rounds"]:
            break
        if not n & 1:
            n //= 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


@words
def sieve(count, marks):
    """How many primes there are below `count`; marks the others."""
    found = 0
    for i in range(2, count):
        if marks[i] != 0:
            continue
        found += 1
        k = i * i
        while k < count:
            marks[k] = 1
            k += i
    return found


@words
def triangle(n):
    """The sum of the first numbers, by recursion."""
    if n <= 0:
        return 0
    return n + triangle(n - 1)


@words
def bits(a, b):
    kept: int = (a ^ b) << 3
    kept |= -(a >> 2) & 7
    return kept + (a < b) + (a is b)


@words
def refused(a):
    return [a]


FUNCTIONS = (gcd, collatz, sieve, triangle, bits)


@pytest.fixture(scope="module")
def compiled():
    found = {}
    for function, address in zip(FUNCTIONS, words_addresses(FUNCTIONS), strict=True):
        kind = [ctypes.c_int64] * function.__code__.co_argcount
        found[function] = ctypes.CFUNCTYPE(ctypes.c_int64, *kind)(address)
    return found


@pytest.mark.parametrize("function", [gcd, bits])
def test_arithmetic_and_loops(function, compiled, rng):
    for a, b in rng.integers(1, 10**6, (50, 2)).tolist():
        assert compiled[function](a, b) == function(a, b)


@pytest.mark.parametrize("function", [collatz, triangle])
def test_conditions_and_recursion(function, compiled):
    for n in range(1, 60):
        assert compiled[function](n) == function(n)


def test_arrays_of_words(compiled):
    one, other = np.zeros((2, 1000), np.int64)
    assert compiled[sieve](1000, one.ctypes.data) == sieve(1000, other) == 168
    assert np.array_equal(one, other)


def test_what_is_not_in_the_language_is_named():
    from wengert.codegen import ir

    with pytest.raises(TypeError, match=r"refused: can't compile '\[a\]'"):
        build_words(ir.Module(), [refused])
