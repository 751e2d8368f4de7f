"""From an accepted Job to its settled Results. Only dispatch retries."""
