"""Spark for stress drills: a cluster of our own, drivers, workloads, faults, and what is read of all that."""
