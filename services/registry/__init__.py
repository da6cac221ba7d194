"""The registry: reads all facts, decides, answers questions. Its database is a projection of the records."""
