"""What drills do to real systems: verbs on PostgreSQL, object stores, processes."""
