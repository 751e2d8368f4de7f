"""Calls from here to addresses that a client chose: which of them are allowed, and one way to make them."""
