"""The inference service: the platform's one public door, and the server of its models."""
