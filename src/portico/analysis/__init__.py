"""What can be said of calls without sending them: where one would go, where all would have gone, what was learned."""
