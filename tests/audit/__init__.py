"""Error rates of the gate and its neighbours, measured by experiment (`make audit`).

A module of this folder is a topic where it has a function `rows(scale, seed)` that yields, for each figure, the
experiment, the figure's name, the figure and the limit that is stated for it. A figure is an error, so less is better:
of a power of 80% the topic yields the share that was missed, and 0.2 as its limit.
"""
