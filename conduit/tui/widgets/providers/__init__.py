"""What stands behind a model: credentials, health, breakers, and what targets can do."""
