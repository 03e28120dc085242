"""What a person reads of a search on the pages of MLflow and Prefect, and how those lead to each other."""
