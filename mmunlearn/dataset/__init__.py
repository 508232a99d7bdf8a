"""The data set: questions, splits, reference sets, statistics and export."""
