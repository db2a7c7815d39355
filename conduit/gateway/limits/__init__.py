"""Rate limits of virtual keys, groups, aliases and the whole gateway: what is counted, and who must
wait.

`scopes.py` says what has limits, `meters.py` counts for one limit, `limiter.py` decides over all
limits of a call in one process, `headers.py` tells the client how they stand. Several workers count
together in Redis (`shared.py`, its script in `store.py`), or each gives its share (`shares.py`).
"""
