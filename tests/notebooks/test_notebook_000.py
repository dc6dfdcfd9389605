# SPDX-License-Identifier: Apache-2.0
"""Notebook 000: zero-point and absmax quantization of scalars, and an 8x8 f16 matmul in int8.

Its `scale` is 1 / scale here: it multiplies to quantize, where qmm divides (real = scale * (code - zero)).

What is wrong in it, and not copied:
 1. Codes are not clamped before astype('int8'). Its own largest value, 1.0, becomes round(127.5) = 128, which wraps to
    -128 and dequantizes to -1.004.
 2. It multiplies f16 data by the scale in f16 and rounds that product again to the code. Two of the 128 codes are off
    by one: X[4, 1] = -98.529 came out as -98 (by way of -98.5), W[7, 2] = 19.497 as 20 (by way of 19.5).
 3. Its first int8 matmul accumulates in int8 and wraps; the notebook finds that itself.
 4. It calls the result good to "a similar value": the worst of its own printed errors is 0.064, their mean size 0.018.
Its zero point -round(min / s) + qmin and the contract's rint(qmin - min / s) are the same number for s8: qmin is even,
so ties go the same way, as here with -128 + 127.5 = -0.5, which is 0.
"""
import unittest

import numpy as np

import qmm
from notebook import NotebookTest, printed

VECTOR = printed("""[ 0.67229476  0.40746184 -0.76991607  0.53924919 -0.67433266  0.03183056
 -0.63584608  0.67643329]""")

PRINTED_X = printed("""[[  88   20   49  111   93  -49   47   -8]
 [  -5   20    7   72   38    6   22   17]
 [  74  -10   16  -42 -127   33   43  -37]
 [ 113  -72    2   -9   76   73    8   19]
 [ -44  -98  -17    8   61   60  -19  -15]
 [ -52  -71  -85   97  -25  -22  -62   39]
 [ -80  -11  -45   19  -25  -59   -1   21]
 [   3   15  -32  -18  -33  -18  -40  -86]]""", 8, 8).astype(np.int8)

PRINTED_W = printed("""[[  12  -26 -107   30  -59    3   48    8]
 [  74  -81   26  -45  -57  -38  -20    4]
 [ -76   59   30 -100   97  124   77  -12]
 [ -70   69  -26   80   14   64   23   46]
 [   1  117    8   26  123  -88  -83   63]
 [ -77  127  -27  -49  126   97  122   59]
 [ -56  125  -18   52   62  -10   40   60]
 [  25  -72   20   87  -45  -10  -28  121]]""", 8, 8).astype(np.int8)

# The first three rows of dequantized X, as far as the notebook shows them.
PRINTED_DEQUANTIZED_X = printed("""[[ 1.76882382  0.40200541  0.98491326  2.23113004  1.86932517 -0.98491326
   0.94471272 -0.16080217]
 [-0.10050135  0.40200541  0.14070189  1.44721949  0.76381029  0.12060162
   0.44220595  0.3417046 ]
 [ 1.48742003 -0.20100271  0.32160433 -0.84421137 -2.55273438  0.66330893
   0.86431164 -0.7437100""")

PRINTED_INTERMEDIATE = printed("""[[-2.43722583  5.45976724 -2.84537811  3.77917639  2.61869519 -0.19777085
  -0.443831    3.1132761 ]
 [-1.65567726  3.26798642 -0.16024668  2.25360344  2.11334915  0.47643397
  -0.14240731  2.88905378]
 [-1.26997797 -1.75225587 -3.08405646 -2.51965598 -3.06467922  4.37218136
   6.56396218 -2.92903856]
 [-2.77186763  6.20871284 -4.55088255  1.90019954  4.82646992  0.8827408
   2.82876905  3.70689622]
 [-3.35810595  6.79525873  0.10826647  0.54840657  6.52213196  0.85751964
   0.19684812  1.30904002]
 [-0.02829692 -2.30558364  0.28789038  5.68768046 -3.45037851 -0.45951734
  -2.94380217  0.89442866]
 [ 1.66551967 -3.20739411  2.54087867  2.50089389 -3.15818208 -2.4326122
  -3.81362481 -0.56747623]
 [ 1.93187978 -2.88444016 -0.36939781 -2.57225133 -2.86813867 -1.00361785
  -0.51764905 -5.01562866]]""", 8, 8)

# errors_with_intermediate: the f16 product less the above, the first seven rows, which the notebook shows whole. Their
# sum is the f16 product, which it does not show.
PRINTED_ERRORS = printed("""[[-4.12897998e-02  1.17025825e-03  2.50656057e-02  4.11361100e-02
  -1.50768879e-03  1.28343253e-02  9.74897150e-03  6.44582767e-02]
 [-1.03383639e-02  7.40420488e-03  1.55526903e-03 -1.14159353e-02
  -3.97414754e-03  9.16172997e-03  1.48438376e-02 -2.33503298e-03]
 [ 3.26732823e-02 -3.58300659e-02  7.88458002e-03  2.16091018e-02
  -3.88364071e-02 -3.23376111e-02 -2.88059328e-02 -6.50831699e-03]
 [-3.47729904e-02 -5.58783544e-03  2.35387980e-02 -9.57453915e-03
   5.56132957e-03  9.34904133e-03 -6.50342026e-03  2.35725302e-02]
 [ 4.59032652e-03 -1.40087275e-02 -1.06102178e-02  6.76921305e-03
  -6.50695658e-03 -3.76954179e-02 -6.41843569e-03  4.43654330e-03]
 [ 3.48612669e-03 -8.86948216e-03 -4.63132317e-02 -4.70554594e-02
  -2.22777407e-02  1.46931188e-02  2.77865422e-02 -3.26122535e-02]
 [-4.80604790e-04 -1.13558928e-02 -9.62866509e-03 -3.21438901e-02
  -2.10485956e-05  3.22215723e-02  2.65154366e-02 -1.69964261e-02]]""", 7, 8)

# errors of the notebook's first attempt, in int8 throughout: the f16 product less what it got. First rows.
PRINTED_WRAPPED_ERRORS = printed("""[[-2.48220653e+00  5.43417846e+00 -2.80954737e+00  3.82062008e+00
   2.59688754e+00 -2.23383422e-01 -4.62686524e-01  3.21402825e+00]
 [-1.66386260e+00  3.31445267e+00 -1.55923230e-01  2.27202229e+00
   2.12198558e+00  4.81597226e-01 -1.42634661e-01  2.91101719e+00]]""", 2, 8)


def absmax_scale(ctx, x):
    return qmm.choose_params(*ctx.find_range(x), "s8")[0]


class ZeroPointScalars(NotebookTest):
    def test_scale_and_zero_point(self):
        scale, zero = qmm.choose_params(-1.0, 1.0, "s8", symmetric=False)
        self.assertAlmostEqual(1 / scale, 127.5, delta=127.5 * 2**-24)  # printed: scale : 127.5
        self.assertEqual(zero, 0)                                       # printed: zero point : 0.0

    def test_code_and_its_value(self):
        scale, zero = qmm.choose_params(-1.0, 1.0, "s8", symmetric=False)
        code = self.ctx.quantize(np.float32(0.5), "s8", scale, zero)
        self.assertEqual(code, 64)
        self.assert_near(self.ctx.dequantize(code, scale, zero), 0.5019607843137255, 2**-24)

    def test_range_found_in_the_data(self):
        r = np.linspace(-1.0, 1.0)
        self.assertEqual(self.ctx.find_range(r, symmetric=False), (-1.0, 1.0))

    def test_the_largest_value_saturates(self):
        scale, zero = qmm.choose_params(-1.0, 1.0, "s8", symmetric=False)
        codes = self.ctx.quantize(np.float32([-1.0, 1.0, 2.0]), "s8", scale, zero)
        self.assert_codes(codes, [-127, 127, 127])  # 2/255 as a float is a little more, so -1.0 is no tie any more
        notebook = np.round(127.5 * 1.0 + 0.0)
        self.assertEqual(notebook.astype(np.int64).astype(np.int8), -128)  # fault 1


class AbsmaxScalars(NotebookTest):
    def test_absmax(self):
        low, high = self.ctx.find_range(VECTOR)
        self.assertEqual(low, -high)
        self.assert_near(high, 0.7699160744453164, 2**-24)
        self.assertEqual(qmm.type_range("s8")[1], 127)

    def test_code_and_its_value(self):
        scale, zero = qmm.choose_params(-0.7699160744453164, 0.7699160744453164, "s8")
        self.assertEqual(zero, 0)
        code = self.ctx.quantize(np.float32(0.5392491912918173), "s8", scale)
        self.assertEqual(code, 89)
        self.assert_near(self.ctx.dequantize(code, scale), 0.539547485241206, 2**-24)

    def test_the_same_in_one_call(self):
        codes, quant = self.ctx.quantize_dynamic(VECTOR, granularity="tensor")
        self.assertEqual(codes[3], 89)
        self.assert_near(self.ctx.dequantize(codes, quant=quant), VECTOR, quant.scale.item() / 2 + 1e-7)


class Matmul8x8(NotebookTest):
    def setUp(self):
        np.random.seed(0)
        self.x = np.random.randn(8, 8).astype(np.float16)
        self.w = np.random.randn(8, 8).astype(np.float16)
        self.scale_x, self.scale_w = absmax_scale(self.ctx, self.x), absmax_scale(self.ctx, self.w)

    def accumulators_scaled(self, x, w):
        return self.ctx.matmul(x, w, quant_a=self.scale_x, quant_b=self.scale_w)

    def test_codes_but_for_the_two_the_notebook_rounded_twice(self):
        expected_x, expected_w = PRINTED_X.copy(), PRINTED_W.copy()
        expected_x[4, 1], expected_w[7, 2] = -99, 19  # fault 2
        self.assert_codes(self.ctx.quantize(self.x, scale=self.scale_x), expected_x)
        self.assert_codes(self.ctx.quantize(self.w, scale=self.scale_w), expected_w)
        exact = [float(self.x[4, 1]) * 127 / float(np.abs(self.x).max()),
                 float(self.w[7, 2]) * 127 / float(np.abs(self.w).max())]
        self.assert_near(exact, [-98.5295, 19.4967], 1e-4)

    def test_codes_exactly_as_printed_from_its_f16_products(self):
        for values, scale, codes in ((self.x, self.scale_x, PRINTED_X), (self.w, self.scale_w, PRINTED_W)):
            product = values * np.float16(127 / np.float64(np.abs(values).max()))
            self.assertEqual(product.dtype, np.float16)
            self.assert_codes(self.ctx.quantize(product), codes)

    def test_dequantized_as_printed(self):
        got = self.ctx.dequantize(PRINTED_X, self.scale_x)
        self.assert_near(got.reshape(-1)[:24], PRINTED_DEQUANTIZED_X, 2e-7)

    def test_int32_accumulation_as_printed(self):
        codes = self.ctx.matmul(PRINTED_X, PRINTED_W, type="s32")
        self.assert_codes(codes, PRINTED_X.astype(np.int64) @ PRINTED_W.astype(np.int64))
        self.assert_near(self.accumulators_scaled(PRINTED_X, PRINTED_W), PRINTED_INTERMEDIATE, 1e-6)

    def test_close_to_the_f16_product(self):
        product = PRINTED_INTERMEDIATE[:7] + PRINTED_ERRORS
        self.assert_near((self.x @ self.w)[:7], product, 1e-8 + 2**-9)  # numpy versions may sum f16 in another order
        got = self.accumulators_scaled(self.ctx.quantize(self.x, scale=self.scale_x),
                                       self.ctx.quantize(self.w, scale=self.scale_w))
        # 0.0645 is the notebook's own worst error; a bound of 1e-2 holds for the mean, not for every element.
        self.assert_near(got[:7], product, 0.0645)
        self.assertLess(abs(np.mean(got[:7] - product)), 1e-2)
        self.assertLess(np.mean(np.abs(got[:7] - product)), 2e-2)

    def test_int8_accumulation_is_wrong(self):
        wrapped = np.matmul(PRINTED_X, PRINTED_W)
        self.assertEqual(wrapped.dtype, np.int8)
        exact = self.ctx.matmul(PRINTED_X, PRINTED_W, type="s32")
        self.assertGreater(np.count_nonzero(wrapped != exact), 60)
        # Its printed errors are those of the wrapped product, and hundreds of times the right one's.
        product = PRINTED_INTERMEDIATE[:2] + PRINTED_ERRORS[:2]
        self.assert_near(product - wrapped[:2] * (self.scale_x * self.scale_w), PRINTED_WRAPPED_ERRORS, 1e-6)
        self.assertGreater(np.abs(PRINTED_WRAPPED_ERRORS).mean(), 100 * np.abs(PRINTED_ERRORS).mean())


if __name__ == "__main__":
    unittest.main()
