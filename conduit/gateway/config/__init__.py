"""The configuration and the settings in force, as requests see them, and the sealing of secrets."""
