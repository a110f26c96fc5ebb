"""A founded family for those who attack it."""

from __future__ import annotations

from tests.node.house import house, house_made_once, vaults
from tests.node.laptops import laptop

__all__ = ["house", "house_made_once", "laptop", "vaults"]
