"""Events: the in-process bus, live statistics, and the socket that front-ends listen to."""
