"""Benchmarks: medians with their spread, each beside its floor measured in the same run."""
