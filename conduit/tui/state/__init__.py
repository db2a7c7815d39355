"""What the interface knows of a gateway and is asked of it, without a word of terminals."""
