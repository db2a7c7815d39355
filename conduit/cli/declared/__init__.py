"""A gateway's configuration as a whole: kept in files, compared, put in force and taken back."""
