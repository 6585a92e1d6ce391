"""The local engine: identities in tokend's own store, and tokens signed with its own keys."""
