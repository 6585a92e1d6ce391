"""The authenticators, each of which identifies callers by one kind of credential."""
