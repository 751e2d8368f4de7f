"""Bytes to domain and back, one folder a dialect. No sockets, no files, no clock."""
