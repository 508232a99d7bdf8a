"""Review by people: the pages that ask for verdicts, the verdicts, and what they say of the filters."""
