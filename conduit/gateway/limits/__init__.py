"""Rate limits of virtual keys: what is counted, and who must wait.

`meters.py` counts for one limit, `limiter.py` decides over all limits of a call, `headers.py` tells
the client how it stands.
"""
