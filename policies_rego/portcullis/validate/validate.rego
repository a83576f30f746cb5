# METADATA
# title: The decision on a request
# description: >-
#   Runs every rule that there is and weighs what they found: an Organization may soften a rule to warn or audit, a
#   break-glass group passes. The answer names the revision and every rule that ran, so that the webhook can tell a whole
#   answer from less. Without a kind, an operation and a user there is no decision, and none is a denial.
# related_resources:
#   - ref: https://www.openpolicyagent.org/docs/rest-api
package portcullis.validate

import data.portcullis.actors
import data.portcullis.index
import data.portcullis.shipped

# METADATA
# entrypoint: true
decision := {
	"revision": shipped.revision,
	"rules": ran,
	"allowed": allowed,
	"break_glass": broken,
	"undecided": undecided,
	"violations": sort(weighed),
} if {
	input.request.operation
	input.request.kind.kind
	is_string(input.user.name)
}

# By folder, category and rule: a name put together for each would cost a tenth of the decision.
ran := object.keys(denials)

denials[[category, name]] := data.portcullis.rules[category][name].deny if some [category, name] in chosen

# METADATA
# description: >-
#   The rules that look at objects of the kind under review, by the index that the bundle holds: it is made of what each
#   rule's METADATA says in `custom.kinds`, and the webhook demands the rules of its own copy of it. Without an index every
#   rule runs, and finds the same.
chosen := rules if {
	rules := index.kinds[input.request.kind.group][input.request.kind.kind]
} else := rules if {
	rules := index.others
} else := [[category, name] | data.portcullis.rules[category][name].deny]

weighed contains violation if {
	some violation in found
	not object.get(violation, "follows", "") in causes
}

found contains object.union(violation, {"action": action(violation)}) if {
	some deny in denials
	some violation in deny
	is_string(violation.rule)
}

# The rules that refuse for themselves: what only follows from one of them is not told twice.
causes contains violation.rule if {
	some violation in found
	violation.action == "enforce"
	object.get(violation, "follows", "") == ""
}

refused if {
	some violation in weighed
	violation.action == "enforce"
}

refused if undecided != ""

broken := passes if {
	refused
} else := false

default passes := false

passes if actors.break_glass(input.user, input.break_glass_groups)

default allowed := false

allowed if not refused

allowed if broken

default undecided := ""

undecided := "the tenant tree is not loaded" if {
	not input.tree
} else := "a rule found what is no violation" if {
	some deny in denials
	not sound(deny)
}

# What is none would be lost among the others, and with it the refusal.
sound(deny) if {
	is_set(deny)
	every violation in deny { is_string(violation.rule) }
}

action(violation) := "warn" if {
	violation.level == "warn"
	setting(violation) != "audit"
} else := setting(violation)

setting(violation) := "enforce" if {
	violation.fixed
} else := "enforce" if {
	violation.rule in never_softened
} else := softened(violation.rule)

never_softened := {
	"rbac/tenancy",
	"baseline/managed-policy",
	"baseline/namespace-labels",
	"baseline/exemption",
}

# METADATA
# description: The Organization's setting nearest to the rule; what is neither warn nor audit enforces.
softened(rule) := setting if {
	candidates := [value |
		some key in [rule, $"{split(rule, "/")[0]}/*", "*"]
		value := input.enforcement[key]
	]
	setting := candidates[0]
	setting in {"warn", "audit"}
} else := "enforce"
