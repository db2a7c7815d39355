"""Models asked through the gateway as its clients do: questions, answers and conversations."""
