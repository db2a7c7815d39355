"""The only way a front-end reaches a gateway."""
