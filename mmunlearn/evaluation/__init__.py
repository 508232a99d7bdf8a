"""Answers, judgements and scores."""
