"""Workers that do nothing but count, one for each of the other ways to take messages."""
