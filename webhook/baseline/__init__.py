"""What a namespace gets and what differs from it: pure, no I/O."""
