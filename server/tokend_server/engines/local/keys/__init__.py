"""The signing keys of the local engine: which there are, what each does when, and signatures by them."""
