"""Virtual keys as requests find them: looked up, what they may do, and the copy for an outage."""
