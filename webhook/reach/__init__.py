"""Who can reach whom by a policy: its meaning, however it is spelled."""
