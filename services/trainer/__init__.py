"""Trainer: fits a model on a prepared dataset and evaluates it on the held-out part."""
