"""Where stacks of trials run: clusters, stacking and the body of a worker."""
