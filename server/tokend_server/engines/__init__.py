"""The engines, one for each identity pool, and the selection of the engine by the pool's kind."""
