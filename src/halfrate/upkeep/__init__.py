"""One loop per file, each keeping one thing true as time passes."""
