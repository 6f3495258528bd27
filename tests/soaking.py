"""Is what takes long tried in its full size? SANSPROTO_SOAK=1 asks for it."""

import os

SOAKING = bool(int(os.environ.get("SANSPROTO_SOAK") or 0))
