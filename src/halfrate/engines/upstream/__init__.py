"""Engines that are servers elsewhere, asked over HTTP."""
