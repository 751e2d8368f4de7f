"""Bulk bytes by name."""
