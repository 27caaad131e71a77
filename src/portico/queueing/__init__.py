"""Waiting instead of being refused: who is next, and for how long anybody waits."""
