"""What the gateway has recorded: requests, attempts and events, chosen, followed and shown."""
