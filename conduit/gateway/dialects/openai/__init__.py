"""What OpenAI's formats share: errors, usage, requests read for relaying, answers looked into."""
