"""Trainings and unlearning methods."""
