"""How good a model is on labelled rows: sums over the rows, measures of the sums, and how far luck reaches."""
