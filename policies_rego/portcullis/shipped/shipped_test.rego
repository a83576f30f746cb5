package portcullis.shipped_test

import data.portcullis.fixtures
import data.portcullis.shipped

test_allow_the_bundle_of_our_root if shipped.revision == "r1" with data.system.bundles as fixtures.bundles

test_deny_other_bundles if {
	not shipped.revision with data.system.bundles as {"portcullis": {"manifest": {"revision": "r2", "roots": ["other"]}}}
}

test_deny_no_bundle if not shipped.revision with data.system.bundles as {}

test_deny_a_bundle_without_revision if {
	not shipped.revision with data.system.bundles as {"a": {"manifest": {"roots": ["portcullis"]}}}
}
