"""Models in service: load, batch, swap. Knows no HTTP and no bus."""
