"""The compressor: makes the variants of a trained model, measures them beside it and chooses which one serves."""
