# METADATA
# title: The decisions on many requests
# description: >-
#   What `validate` decides on each document of `input.documents`, by its place, as if it were asked for it alone; none
#   for a document on which there is no decision. For what is decided long before or after a request: check and replay.
# related_resources:
#   - ref: https://www.openpolicyagent.org/docs/policy-language#with-keyword
# schemas:
#   - input: {type: object, properties: {documents: {type: array}}}
# entrypoint: true
package portcullis.batch

import data.portcullis.validate

# Whole, not piece by piece: no other file can put a decision of its own among them.
decisions := {index: decision |
	some index, document in input.documents
	decision := validate.decision with input as document
}
