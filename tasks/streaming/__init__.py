"""Two PostgreSQL servers with streaming replication, known by their DSNs alone."""
