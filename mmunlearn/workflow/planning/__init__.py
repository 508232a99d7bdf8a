"""What a run will cost, before it runs, and beside it what it has cost: `mmunlearn plan`. Nothing heavy here."""
