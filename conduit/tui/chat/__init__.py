"""What a chat is made of, below its screen."""
