"""A seeded generator of conversations for the embedded pair."""

from .conversations import DETERMINED, DOMAINS, ask, conversation, is_heldout, write
from .words import Turn

__all__ = ["DETERMINED", "DOMAINS", "Turn", "ask", "conversation", "is_heldout", "write"]
