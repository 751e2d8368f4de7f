"""Embedding models: a BERT encoder on OpenVINO, in the embedded engine's child process."""
