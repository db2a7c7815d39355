"""Keys and groups as their screens share them: fields, budgets, balances and what is spent."""
