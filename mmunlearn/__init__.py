"""mmunlearn: multimodal unlearning benchmarks as one reproducible workflow."""

__version__ = "0.1.0"

import os
import sys

# Libraries read this when they are first imported: nothing is downloaded behind the user's back. The second variable
# tells the jobs that inherit both that it is ours: `weights.hub.online` lifts it where `weights.download` allows.
if "HF_HUB_OFFLINE" not in os.environ:
    os.environ["HF_HUB_OFFLINE"] = os.environ["MMUNLEARN_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# pyiqa asks for bitsandbytes and never imports it; peft and transformers import it wherever they find it, which takes
# seconds and prints a failure. Nothing here uses it: they find none, unless it was imported before.
sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type]
