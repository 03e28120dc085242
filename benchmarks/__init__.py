"""Our project against its peers: the same networks, data, weights and minibatches, the same two threads.

`make bench` runs it. A contestant's process imports this package, NumPy and the library it races, nothing else:
what else is imported here would count as the contestant's memory.
"""
