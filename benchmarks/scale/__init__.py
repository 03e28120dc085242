"""How time and memory grow: with trials, with width, with rows, with workers; and a model of what was not measured."""
