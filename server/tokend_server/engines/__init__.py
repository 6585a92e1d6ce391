"""The engines that answer for identity pools, and the choice of one for each pool."""
