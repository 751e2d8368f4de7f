"""The demonstration model `pocket-1`, shipped as package data: `pocket-1.gguf` in this folder."""
