"""What becomes of rows and columns between reading and writing: bad rows, the schema contract, appending, report."""
