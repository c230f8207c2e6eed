"""Notifications: messages in plain words, the routes they take, and receipts that tell which route took what."""
