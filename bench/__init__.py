"""Benchmarks: Muster beside the bare commands and the raw limit, as ratios within one run."""
