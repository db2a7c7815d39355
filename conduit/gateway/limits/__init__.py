"""Rate limits of virtual keys, groups, aliases and the whole gateway: what is counted, and who must
wait.

`scopes.py` says what has limits, `meters.py` counts for one limit, `limiter.py` decides over all
limits of a call in one process, `headers.py` tells the client how they stand. Several workers count
together in Redis (`shared.py`), or each gives its share (`shares.py`). With Redis, `counters.py`
asks the script that `store.py` runs, `presence.py` works beside the calls, and `alone.py` counts
while there is no answer.
"""
