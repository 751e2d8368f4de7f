"""HTTP: routes per resource, errors as the API words them. Decides nothing."""
