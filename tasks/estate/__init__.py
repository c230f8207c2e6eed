"""The embedded estate: a small real world on loopback, so that a drill needs nothing but this checkout."""
