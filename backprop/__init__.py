"""Multilayer perceptrons with explicit backpropagation, trained as stacks."""
