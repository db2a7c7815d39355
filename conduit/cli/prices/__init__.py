"""The price of a model: named, shown, and brought up to date."""
