"""The gateway: the server that speaks to clients and providers."""
