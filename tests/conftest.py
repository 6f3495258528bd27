"""Hypothesis profiles: ``default`` repeats itself; ``soak`` (SANSPROTO_SOAK=1, or a number of examples) searches on."""

import os

from hypothesis import HealthCheck, settings

_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
_soak = int(os.environ.get("SANSPROTO_SOAK") or 0)
settings.register_profile("default", _COMMON, max_examples=60, derandomize=True)
settings.register_profile("soak", _COMMON, max_examples=_soak if _soak > 1 else 500, print_blob=True)
settings.load_profile("soak" if _soak else "default")
