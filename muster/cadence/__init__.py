"""Cadence: when a plan is due, how late it may be, what that makes of it. Pure functions over plan, runs and now."""
