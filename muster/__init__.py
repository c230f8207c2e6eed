"""Muster: resilience drills on a schedule, with proof."""

__version__ = "0.1.0"
