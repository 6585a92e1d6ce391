"""The authenticators, each of which names the caller by one kind of credential."""
