# SPDX-License-Identifier: Apache-2.0
"""What the notebook tests share: a context, and numbers as a notebook printed them."""
import os
import unittest

import numpy as np

import qmm


class NotebookTest(unittest.TestCase):
    """A test with a context on QMM_TEST_DEVICE, "cpu" if that is not set."""

    @classmethod
    def setUpClass(cls):
        cls.ctx = qmm.Context(os.environ.get("QMM_TEST_DEVICE", "cpu"))

    @classmethod
    def tearDownClass(cls):
        cls.ctx.close()

    def assert_codes(self, got, expected):
        np.testing.assert_array_equal(np.asarray(got, np.int64), np.asarray(expected, np.int64))

    def assert_near(self, got, expected, tolerance):
        np.testing.assert_allclose(np.asarray(got, np.float64), expected, rtol=0, atol=tolerance)


def printed(text, *shape):
    """The numbers of an array as numpy prints it."""
    numbers = np.array(text.replace("[", " ").replace("]", " ").split(), np.float64)
    return numbers.reshape(shape) if shape else numbers
