"""Requests in, a Plan out. Pure."""
