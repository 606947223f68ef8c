"""Benchmarks: one command answers one question, `python -m benchmarks.NAME [--json FILE]`."""
