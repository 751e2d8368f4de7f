"""One program per claim. Each measures both arms in one go and adds a row to ``history.jsonl``."""
