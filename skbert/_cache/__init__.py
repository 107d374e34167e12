"""Keys of texts in, the vectors stored under them out: an SQLite file."""
