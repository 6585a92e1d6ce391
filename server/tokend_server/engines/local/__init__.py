"""The engine whose pools are kept here: identities in a store, tokens signed with keys of its own."""
