"""MLflow: runs of searches and trials, the served model, the registry."""
