"""A search whose programs are killed at random, held against the same search left alone."""
