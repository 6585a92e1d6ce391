"""HTTP/1.1 listeners for the issuer's documents, metrics and probes, with limits that no client can exceed."""
