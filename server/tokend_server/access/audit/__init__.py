"""The audit log: a line for each decision, and what keeps calls from waiting for it."""
