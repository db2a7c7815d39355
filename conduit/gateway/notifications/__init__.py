"""What operators are told of: budgets, keys, credentials."""
