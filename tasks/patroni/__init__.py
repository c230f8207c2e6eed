"""Patroni, as far as a rehearsal has to do with it: its REST API, its members together, the servers under it."""
