"""Lifelong unlearning (MLUBench): tasks are forgotten one after another."""
