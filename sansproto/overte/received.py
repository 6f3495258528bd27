"""What guards are given."""

from ..endpoint import Received

__all__ = ["Received"]
