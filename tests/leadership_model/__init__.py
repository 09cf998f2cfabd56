"""Spec 5's protocol as a transition system, and every state that it can reach."""
