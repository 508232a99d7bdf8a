"""mmunlearn: multimodal unlearning benchmarks as one reproducible workflow."""

__version__ = "0.1.0"
