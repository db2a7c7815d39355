"""What stands before the handlers: connections, bodies, errors and headers of the HTTP server."""
