"""Where calls go: providers with their credentials, and aliases with their targets."""
