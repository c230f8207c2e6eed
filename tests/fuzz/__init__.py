"""Parsers of foreign bytes under a fuzzer that follows coverage: `python -m tests.fuzz`."""
