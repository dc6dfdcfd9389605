#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits the constants of host/numerics_activation.h and prints them as C.

    pip install numpy scipy && python3 docs/derivations/fit_activations.py

Each polynomial is the minimax one in relative error (on a dense grid, in double). Its coefficients are
then rounded to float32 one at a time, lowest degree first, and the remaining ones fitted again after each, so that they
take up the error of the rounding. "error" is the polynomial's own, in units of 2^-24; the header states what is left
of the whole function after all roundings.
"""
import math

import numpy as np
from scipy.special import erfcx


def minimax(basis, target, weight):
    """Coefficients c that nearly minimise max |weight * (target - basis @ c)|: Lawson's reweighted least squares."""
    scale = np.abs(basis).max(axis=0)
    rows, right = basis / scale * weight[:, None], target * weight
    share = np.full(len(target), 1 / len(target))
    best, least = None, math.inf
    for _ in range(300):
        root = np.sqrt(share)
        c = np.linalg.lstsq(rows * root[:, None], right * root, rcond=None)[0]
        error = np.abs(right - rows @ c)
        if error.max() < least:
            best, least = c / scale, error.max()
        share *= error / error.max()
        share /= share.sum()
    return best


def fit_float32(name, x, target, weight, degree):
    """A polynomial in x with float32 coefficients, near target in the weighted sense."""
    basis = np.vander(x, degree + 1, increasing=True)
    fixed = np.zeros(0)
    while len(fixed) <= degree:
        rest = target - basis[:, : len(fixed)] @ fixed
        c = minimax(basis[:, len(fixed) :], rest, weight)
        fixed = np.append(fixed, np.float64(np.float32(c[0])))
    error = np.abs(weight * (target - basis @ fixed)).max()
    print(f"{name}: degree {degree}, error {error * 2**24:.3f}")
    for i, c in enumerate(fixed):
        print(f"    c{i} = {split_text(c)}")


def split_text(c):
    return f"{np.float32(c):.9g}f  /* {float(np.float32(c)).hex()} */"


def fit_exp():
    """exp(r) = 1 + (r + r^2 * E(r)) for |r| <= ln(2)/2, a little more for the roundings before."""
    r = np.linspace(-0.348, 0.348, 2000)  # an even count: r = 0 is not among them
    series = sum(r**i / math.factorial(i + 2) for i in range(20))  # (exp(r) - 1 - r) / r^2 without the cancellation
    fit_float32("E(r)", r, series, r * r / np.exp(r), 4)


SPLIT, LAST = 1.25, 15.0  # of gelu's two pieces
# The centers are places where the function rounds to float32 with little error: its polynomial has that error there.
NEAR_CENTER, FAR_CENTER = 96 / 256, 94 / 256


def mills(t):
    """Phi(-t) * exp(t^2 / 2)"""
    return 0.5 * erfcx(t / math.sqrt(2))


def fit_gelu():
    t = np.linspace(0, SPLIT, 2001)
    fit_float32(f"near, N(t - {NEAR_CENTER})", t - NEAR_CENTER, mills(t), 1 / mills(t), 8)
    v = np.linspace(1 / (LAST + 1), 1 / (SPLIT + 1), 2001)
    t = 1 / v - 1
    fit_float32(f"far, F(1 / (t + 1) - {FAR_CENTER})", v - FAR_CENTER, t * mills(t), 1 / (t * mills(t)), 8)


def split(name, value, bits):
    """value = high + low, high with so many bits that its products with 12-bit floats are exact."""
    unit = 2.0 ** (math.frexp(value)[1] - bits)
    high = math.floor(value / unit) * unit
    print(f"{name}: high {split_text(high)}\n    low {split_text(value - high)}")


fit_exp()
fit_gelu()
print(f"log2(e) = {split_text(1 / math.log(2))}")
split("ln(2)", math.log(2), 16)
split("A = 2 sqrt(2/pi)", 2 * math.sqrt(2 / math.pi), 12)
split("B = 0.044715 A", 2 * math.sqrt(2 / math.pi) * 0.044715, 12)
