"""Benchmarks: ratios against the raw cost, measured in the same run."""
