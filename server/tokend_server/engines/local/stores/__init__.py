"""The kinds of store that implement the local engine's port, and functions that open and measure them."""
