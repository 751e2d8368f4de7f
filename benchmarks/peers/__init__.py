"""What `benchmarks.engine` compares: a model of random weights, and each engine as a process to be asked."""
