"""Readiness: whether targets look fit for their drill, or the real thing; seen every few minutes, never a proof."""
