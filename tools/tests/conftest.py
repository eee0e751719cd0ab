"""The tools are scripts: their folder goes on the path as it does when one of them runs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
