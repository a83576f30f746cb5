"""What was decided and why, and what stood when: recorded, kept, asked for."""
