package nexus.history_test

import data.nexus.history

test_a_role_reads_its_categories if {
	history.allow with input as asked("clerk", {"category": "order", "id": "1"}) with data.history.roles as roles
	not history.allow with input as asked("clerk", {"category": "payment"}) with data.history.roles as roles
	not history.allow with input as {"actor": actor("clerk")} with data.history.roles as roles
}

test_an_auditor_reads_everything if {
	history.allow with input as {"actor": actor("auditor")} with data.history.roles as roles
}

test_others_read_nothing if {
	not history.allow with input as asked("intern", {"category": "order"}) with data.history.roles as roles
	not history.allow with input as {} with data.history.roles as roles
}

roles := {"auditor": ["*"], "clerk": ["order"]}

actor(role) := {"id": "ada", "roles": [role], "claims": {}}

asked(role, aggregate) := {"actor": actor(role), "aggregate": aggregate}
