"""Ingestion against what a person would write with pandas and scikit-learn, on the same table."""
