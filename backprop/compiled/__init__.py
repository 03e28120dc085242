"""Training compiled for the CPU by Numba: what `backprop.descent` does in array operations, done in loops.

A pass of NumPy over memory for every stage costs a small network eight times its arithmetic. Here a trial's minibatch
goes through all stages while it lies in the first caches.

    lanes, products     tiles of a matrix product, kept in registers
    elementary, stages  activations, losses, dropout
    updates             optimisers
    pieces, epoch       samples in order, minibatch after minibatch, trial after trial
    teams               threads
    layout, descent, evaluation, backend    the host's side

``python -m backprop.compiled`` compiles it all ahead of its first use: half a minute, once on a machine.
"""
