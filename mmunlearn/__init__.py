"""mmunlearn: multimodal unlearning benchmarks as one reproducible workflow."""

__version__ = "0.1.0"

import os

# Libraries read this when they are first imported: nothing is downloaded behind the user's back.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
