"""The networks of the paper's filters."""
