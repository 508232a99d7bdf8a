"""mmunlearn: multimodal unlearning benchmarks as one reproducible workflow."""

__version__ = "0.1.0"

import os
import sys

# Libraries read this when they are first imported: nothing is downloaded behind the user's back.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# pyiqa asks for bitsandbytes and never imports it; peft and transformers import it wherever they find it, which takes
# seconds and prints a failure. Nothing here uses it: they find none, unless it was imported before.
sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]
