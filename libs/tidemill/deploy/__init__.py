"""What a deployment in containers does before its services start, and asks them while they run."""
