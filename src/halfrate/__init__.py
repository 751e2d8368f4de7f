"""halfrate: Batch Mode for the models you run."""
