"""Two regions of one database on this machine: what a rehearsal can lose, take over and bring home."""
