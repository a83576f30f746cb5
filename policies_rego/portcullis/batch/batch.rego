# METADATA
# title: The decisions on many requests
# description: >-
#   What `validate` decides on each document of `input.documents`, by its place, as if it were asked for it alone; none
#   for a document on which there is no decision. For what is decided long before or after a request: check and replay.
# related_resources:
#   - ref: https://www.openpolicyagent.org/docs/policy-language#with-keyword
# schemas:
#   - input: {type: object, properties: {documents: {type: array}, rules: {type: array}}}
package portcullis.batch

import data.portcullis.shipped
import data.portcullis.validate

# METADATA
# description: Whole, not piece by piece, so that no other file can put a decision of its own among them.
# entrypoint: true
decisions := {index: decision |
	some index, document in input.documents
	decision := validate.decision with input as document
}

# METADATA
# description: >-
#   What some rules find on each document, those that `input.rules` has at its place, each by its folders: a replay
#   compares it under two revisions. A set says that it is one, for in JSON it would be a list; of a rule that finds
#   nothing at all, not even an empty set, there is none.
# entrypoint: true
denials := {"revision": shipped.revision, "found": found}

found := {index: sets |
	some index, document in input.documents
	sets := [told(deny) |
		some [category, name] in input.rules[index]
		deny := data.portcullis.rules[category][name].deny with input as document
	]
}

# In one order, whoever evaluates it.
told(deny) := {"set": sort(deny)} if {
	is_set(deny)
} else := {"value": deny}
