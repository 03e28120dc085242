"""Looking at what was recorded, in a terminal: searches and trials are listed, shown, compared and opened."""
