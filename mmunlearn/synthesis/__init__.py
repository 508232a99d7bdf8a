"""Pictures, drawn until every one is valid."""
