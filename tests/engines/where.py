"""A job that computes nothing: for tests of devices."""

from __future__ import annotations

import os
import time


class Where:
    """A job that tells where it was computed."""

    def __init__(self, device):
        self.device = device

    def on(self, device):
        return Where(device)

    def compute(self, start):
        time.sleep(0.05)
        return self.device, os.environ.get("CUDA_VISIBLE_DEVICES")
