package portcullis.mask_test

import data.portcullis.fixtures
import data.portcullis.mask

applied := "kubectl.kubernetes.io/last-applied-configuration"

policy := {
	"group": "networking.k8s.io",
	"kind": "NetworkPolicy",
	"annotations": [applied, "portcullis.dev/exempt-until", "portcullis.dev.example.org/note"],
	"fields": ["spec"],
	"spec": ["podSelector", "ingress"],
}

pod := {
	"group": "",
	"kind": "Pod",
	"annotations": [],
	"fields": ["spec", "status"],
	"spec": ["containers", "hostNetwork", "volumes"],
}

secret := {"group": "", "kind": "Secret", "annotations": [], "fields": ["data", "type"], "spec": []}

taken(shapes) := found if {
	found := [{path | some path in paths} | some paths in decision({"shapes": shapes}).paths]
}

decision(document) := found if {
	found := mask.decision with input as document with data.system.bundles as fixtures.bundles
}

test_allow_empty_document if {
	not decision({})
	taken([]) == []
}

test_deny_annotations_of_others if {
	found := {["metadata", "annotations", key] | some key in [applied, "portcullis.dev.example.org/note"]}
	taken([policy]) == [found]
}

test_deny_what_no_rule_reads_of_a_pod if {
	taken([pod]) == [{["spec", "containers"], ["spec", "volumes"]}]
}

test_deny_all_of_what_no_rule_covers if {
	taken([secret]) == [{["data"], ["type"]}]
}

test_allow_each_its_own if {
	bare := object.union(policy, {"annotations": []})
	taken([secret, bare, pod]) == [{["data"], ["type"]}, set(), {["spec", "containers"], ["spec", "volumes"]}]
}

test_allow_the_revision if decision({"shapes": []}).revision == "r1"
