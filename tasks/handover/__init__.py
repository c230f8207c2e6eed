"""What the verbs of a cutover are made of: sides, expected ticks, passing on, settling, accounting."""
