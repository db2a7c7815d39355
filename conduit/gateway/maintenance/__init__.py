"""Work on a database as a whole, from the machine that has its data folder."""
