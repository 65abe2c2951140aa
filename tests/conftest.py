"""What all tests need before torch is imported."""

from __future__ import annotations

import os

# Tiny networks gain nothing from a second thread, and waiting threads take the cores from the slots that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
