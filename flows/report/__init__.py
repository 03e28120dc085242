"""The report of a search: one HTML file that answers which won, by how much, why, where it fails."""
