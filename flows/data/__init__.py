"""Tables in, content-addressed datasets out."""
