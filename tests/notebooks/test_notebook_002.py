# SPDX-License-Identifier: Apache-2.0
"""Notebook 002: 20 printed parameters, asymmetric to 0..255 and symmetric to s8. Every printed number comes out.

The one difference: it adds the zero point before rounding, the contract after. That shows only at exact ties with an
odd zero point (x / scale = 0.5, zero = 1: round(1.5) = 2, the contract's 0 + 1 = 1); there is none here.
Its zero point -round(min / scale) lacks the clamp to 0..255 and the widening of the range to contain 0.
"""
import unittest

import numpy as np

import qmm
from notebook import NotebookTest, printed

PARAMS = printed("""[135.27 -40.19   0.    71.58   0.15  89.11 -39.19 -12.81 -14.72 128.6
 -28.3  113.96 134.27 -25.94  36.49  53.55  24.1  133.    32.29  97.02]""").astype(np.float32)
ASYMMETRIC = printed("""[255   0  58 162  58 188   1  39  37 245  17 224 253  20 111 136  93 251
 105 199]""")
SYMMETRIC = printed("""[127 -38   0  67   0  84 -37 -12 -14 121 -27 107 126 -24  34  50  23 125
  30  91]""")
DEQUANTIZED_ASYMMETRIC = printed("""[135.55 -39.91   0.    71.56   0.    89.45 -39.22 -13.07 -14.45 128.67
 -28.21 114.22 134.18 -26.15  36.47  53.67  24.08 132.8   32.34  97.02]""")
DEQUANTIZED_SYMMETRIC = printed("""[135.27 -40.47   0.    71.36   0.    89.47 -39.41 -12.78 -14.91 128.88
 -28.76 113.97 134.2  -25.56  36.21  53.26  24.5  133.14  31.95  96.93]""")


class PrintedParameters(NotebookTest):
    def check(self, type, symmetric, scale, zero, codes, values, error):
        """Range, parameters, codes, values and mean squared error, in the order of the notebook's cells."""
        low, high = self.ctx.find_range(PARAMS, symmetric=False)
        self.assert_near([low, high], [-40.19, 135.27], 1e-5)
        # From the printed decimals in double, the scale is the printed one rounded to float once.
        self.assertEqual(qmm.choose_params(-40.19, 135.27, type, symmetric=symmetric), (np.float32(scale), zero))
        got = self.ctx.quantize(PARAMS, type, np.float32(scale), zero)
        self.assert_codes(got, codes)
        back = self.ctx.dequantize(got, np.float32(scale), zero)
        self.assert_near(np.round(back.astype(np.float64), 2), values, 1e-9)
        self.assertEqual(round(self.ctx.measure_error(PARAMS, back).mse, 2), error)

    def test_asymmetric(self):
        self.check("u8", False, 0.6880784313725491, 58, ASYMMETRIC, DEQUANTIZED_ASYMMETRIC, 0.03)

    def test_symmetric(self):
        self.check("s8", True, 1.0651181102362206, 0, SYMMETRIC, DEQUANTIZED_SYMMETRIC, 0.06)

    def test_found_and_quantized_in_one_call(self):
        codes, quant = self.ctx.quantize_dynamic(PARAMS, "u8", "tensor", symmetric=False)
        self.assert_codes(codes, ASYMMETRIC)
        self.assertEqual(quant.zero.item(), 58)
        codes, quant = self.ctx.quantize_dynamic(PARAMS, "s8", "tensor")
        self.assert_codes(codes, SYMMETRIC)
        self.assert_near(quant.scale, 1.0651181102362206, 1e-7)

    def test_the_zero_point_is_added_after_rounding(self):
        self.assert_codes(self.ctx.quantize(np.float32([0.5, 1.5, 2.5]), "u8", 1.0, 1), [1, 3, 3])


if __name__ == "__main__":
    unittest.main()
