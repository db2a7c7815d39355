"""From an alias to the candidates that may serve it."""
