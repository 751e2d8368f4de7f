"""One program a claim. `python -m benchmarks` runs them all."""
