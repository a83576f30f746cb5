# METADATA
# title: Who may read the history
# description: >-
#   A record holds the tenants that its object stood under when it was made, from its workspace to the organization.
#   Whoever reads or administers one of them today may read it, and nobody else: a namespace that changed hands does not
#   show its new owners what was decided for the former ones. Nor does a workspace that was made again under its name: it
#   counts together with the project that it has today.
# related_resources:
#   - ref: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
package portcullis.history

import data.portcullis.roles

# A SystemWriter writes for the platform and reads nobody's past.
readers := {
	"Organization": {"OrgAdmin", "InfraAdmin", "OrgReader"},
	"Project": {"ProjectAdmin", "ProjectReader"},
	"Workspace": {"WorkspaceAdmin", "WorkspaceReader"},
}

# METADATA
# description: >-
#   The keys of the tenants whose records the user may read; under which project, where that has to stand in the record as
#   well; and whether also the records that concern no tenant: of the organization's readers alone, for nobody else
#   answers for them.
# entrypoint: true
visible := {"tenants": tenants, "under": under, "others": others}

tenants contains key if {
	some key, tenant in input.tenants
	some role in readers[tenant.kind]
	roles.holds(key, role)
}

under[key] := $"Project/{input.tenants[key].project}" if {
	some key in tenants
	input.tenants[key].kind == "Workspace"
}

default others := false

others if {
	some key in tenants
	input.tenants[key].kind == "Organization"
}
