"""What `backprop up` runs on this machine: Prefect's server, MLflow's, and a worker."""
