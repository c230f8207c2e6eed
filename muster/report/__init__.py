"""A run's summary as people read it: HTML and Markdown for the bundle, lines for the terminal."""
