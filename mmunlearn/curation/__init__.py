"""People, events and image prompts."""
