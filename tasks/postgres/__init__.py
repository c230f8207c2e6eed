"""PostgreSQL: its programs, servers of ours, and what drills ask of them."""
