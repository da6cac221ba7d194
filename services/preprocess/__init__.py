"""Preprocess: cleans a dataset and cuts it into parts that share no example."""
