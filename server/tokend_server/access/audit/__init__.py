"""The audit log: one line for each decision, written without delaying calls beyond a limit."""
