"""Families of models, their features, batches and generation."""
