"""Access control: who calls, what they may do, how often, and the record of what was decided."""
