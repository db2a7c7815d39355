"""Every client's dialect against every provider's, through real sockets."""
