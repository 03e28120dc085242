"""Batch scoring: rows in pieces through a model on Dask workers, and where the answers are written."""
