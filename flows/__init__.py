"""The pipeline: Prefect flows that ingest, search, select, train and retrain.

Importing this package imports none of Prefect, Dask or MLflow, so that a served model, which needs
only the preparation and the core, stays light.
"""
