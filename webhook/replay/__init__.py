"""
What would have become of past requests under other rules.

Each recorded decision holds the whole document that it was made on, so it is made again, under the rules as they were
and as they would be; no cluster is asked. What comes out otherwise is told by rule and tenant, with examples.
"""
