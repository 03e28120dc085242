"""Training compiled for the CPU by Numba: what `backprop.descent` does in array operations, done in loops."""
