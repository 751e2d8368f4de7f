"""Results on disk: checksummed frames, from Segments to the output in input order."""
