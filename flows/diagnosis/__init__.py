"""What is wrong with a network that does not learn: a small module a check, data in, findings out."""
