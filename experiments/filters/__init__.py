"""What the experiments on kernels and filters are made of."""
