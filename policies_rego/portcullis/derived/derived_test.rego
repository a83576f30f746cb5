package portcullis.derived_test

import data.portcullis.derived
import data.portcullis.fixtures

test_allow_empty_document if {
	every place in [null, {}] {
		derived.labels(place) == {}
		derived.pending(place) == {}
	}
}

test_allow_keys if {
	derived.keys == {"portcullis.dev/project", "portcullis.dev/organization", "portcullis.dev/gate"}
	derived.workspace == "portcullis.dev/workspace"
	derived.baseline == "portcullis.dev/baseline"
}

test_allow_labels_of_an_owned_namespace if {
	derived.labels(fixtures.checkout) == {
		"portcullis.dev/project": "payments",
		"portcullis.dev/organization": "acme",
		"portcullis.dev/gate": "enforced",
	}
}

test_allow_no_gate_without_a_baseline if {
	place := fixtures.put(fixtures.checkout, "/baselines", [])
	derived.labels(place) == {"portcullis.dev/project": "payments", "portcullis.dev/organization": "acme"}
	derived.pending(place) == {}
}

test_allow_gate_where_nobody_owns if {
	every standing in ["unowned", "orphaned"] {
		place := object.union(fixtures.unowned, {"standing": standing, "baselines": ["zero-trust"]})
		derived.labels(place) == {"portcullis.dev/gate": "enforced"}
	}
	derived.labels(fixtures.unowned) == {}
}

test_allow_pending if derived.pending(fixtures.checkout) == {"portcullis.dev/baseline": fixtures.pending}

test_allow_stamped if {
	every key in derived.keys { derived.stamped("labels", key) }
	derived.stamped("annotations", "portcullis.dev/baseline")
}

test_deny_stamped if {
	not derived.stamped("labels", "portcullis.dev/workspace")
	not derived.stamped("labels", "portcullis.dev/baseline")
	not derived.stamped("labels", "portcullis.dev/exempt")
	not derived.stamped("annotations", "portcullis.dev/gate")
	not derived.stamped("annotations", "portcullis.dev/exempt-until")
}
