"""More pictures than one machine should do: the same functions here and on a Ray cluster.

Only `cluster.py` and `endpoint.py` know Ray, which is an optional extra; the rest runs without it.
"""
