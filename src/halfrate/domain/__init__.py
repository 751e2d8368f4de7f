"""The product's nouns as frozen values. Imports only the standard library."""
