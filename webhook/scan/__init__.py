"""What stands judged by the rules of today: who would be refused, and what nobody owns."""
