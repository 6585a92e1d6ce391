"""The signing keys of the local engine: their states, their rotation, and their signatures."""
