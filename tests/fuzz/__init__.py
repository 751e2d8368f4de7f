"""Input that nobody would write by hand, in large amounts: `make fuzz`. A slice is part of `make test`."""
