"""One file a revision, named after it; a released revision never changes."""
