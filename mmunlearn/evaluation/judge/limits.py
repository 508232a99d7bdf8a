"""What the embedded judge of open answers cannot tell."""

BLIND = (
    "The local judge compares words: it takes a right answer in other words, or in another language, for a wrong one, "
    "a reference's words in a false sentence for the truth, a plain non-answer that is no refusal for something "
    "irrelevant, and known words strewn at random often for an answer."
)
"""For the captions of its numbers."""
