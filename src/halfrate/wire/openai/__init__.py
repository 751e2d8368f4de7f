"""OpenAI's dialect, as far as batches, files and chat completions go."""
