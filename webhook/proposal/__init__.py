"""What a change would do, judged before it merges."""
