"""A client's file, line by line: split, validated and indexed while its bytes arrive."""
