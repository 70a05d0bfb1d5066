"""Correlation as a matrix: the windows of an image, the matrix itself, and its spectrum.

corr2d is linear in the kernel, with the windows of the image as matrix, and linear in the image,
with a matrix made of the kernel:

    corr2d(x, k).ravel() == im2col(x, k.shape).reshape(-1, k.size) @ k.ravel()
                         == corr2d_matrix(k, x.shape) @ x.ravel()

for every padding, stride, dilation and boundary.
"""

from conv_jax.matrices.columns import col2im, im2col
from conv_jax.matrices.spectrum import operator_norm, singular_values
from conv_jax.matrices.toeplitz import corr2d_matrix

__all__ = ("col2im", "corr2d_matrix", "im2col", "operator_norm", "singular_values")
