"""One file a rubric: its instructions, the form of the reply, and the cases that it is asked of."""
