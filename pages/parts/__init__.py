"""Pieces that pages draw."""
