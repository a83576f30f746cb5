# METADATA
# title: The one shape of a violation
# description: >-
#   A rule's id is its package's last two names, so a folder is all that a rule needs. `level` is the most that comes of
#   it (enforce or warn), `fixed` says that no enforcement setting softens it, `follows`, where there is one, which rule
#   tells the cause.
package portcullis.result

violation(chain, message) := {
	"rule": id(chain),
	"severity": severity(chain),
	"message": message,
	"level": "enforce",
	"fixed": false,
}

# METADATA
# description: A violation that the Organization's enforcement setting does not soften.
fixed(chain, message) := object.union(violation(chain, message), {"fixed": true})

# METADATA
# description: A violation that passes by itself; who asks again in a moment may be allowed.
waiting(chain, message) := object.union(violation(chain, message), {"wait": true})

# METADATA
# description: What only warns, whatever the enforcement.
warning(chain, message) := object.union(violation(chain, message), {"level": "warn"})

# METADATA
# description: A violation that says nothing more where the rule `cause` refuses already; it holds where that one does not.
following(chain, message, cause) := object.union(violation(chain, message), {"follows": cause})

id(chain) := concat("/", [concat("-", split(name, "_")) | some name in array.slice(path, count(path) - 3, count(path) - 1)]) if {
	path := chain[0].path
}

default severity(_) := "high"

severity(chain) := levels[0] if {
	levels := [annotation.annotations.custom.severity | some annotation in chain]
	count(levels) > 0
}
