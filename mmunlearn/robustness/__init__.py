"""Attacks on unlearned models: is it gone, or does it only not show?

Every attack is one file with one function, which takes a TargetModel (the model and what it is asked) and gives
findings. None of the papers measures these; Finetune and Goal stand beside every method as the real 0 and 100.
"""
