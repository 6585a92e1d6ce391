"""HTTP/1.1 listeners: the issuer's documents, metrics and probes, within bounds that hold whatever clients do."""
