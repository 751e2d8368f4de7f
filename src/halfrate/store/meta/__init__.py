"""Rows per Job, Shard, Segment and File. Never a row per Request."""
