"""One request looked into: its summary, its route, its bodies, and a text found in them."""
