"""The kinds of store behind the local engine's port, and what opens and measures them."""
