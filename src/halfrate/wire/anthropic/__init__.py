"""Messages as Anthropic's API has them, for asking a server that speaks it."""
