"""Readers, one for each table format. Each opens a file as a ``TableFile``; ``opening`` alone chooses between them."""
