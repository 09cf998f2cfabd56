"""The risk room's verbs; importing this registers them."""

from risk.actions import clear_guard, limits, override

__all__ = ["clear_guard", "limits", "override"]
