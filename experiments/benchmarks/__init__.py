"""What the benchmarks are made of, and those that are commands of their own."""
