# METADATA
# title: What is shipped
# description: >-
#   The revision of the bundle that these rules came in, whatever name OPA has for it (its path, when it was loaded by
#   `opa run --bundle`). Roots never overlap, so there is one.
# related_resources:
#   - ref: https://www.openpolicyagent.org/docs/management-bundles#bundle-file-format
package portcullis.shipped

revision := bundle.manifest.revision if {
	some bundle in data.system.bundles
	"portcullis" in bundle.manifest.roots
}
