package nexus.history_test

import data.nexus.history

test_a_clerk_sees_orders if {
	history.allow with input as asked("clerk", {"category": "order", "id": "1001"})
	not history.allow with input as asked("clerk", {"category": "payment", "id": "1001"})
}

test_an_auditor_sees_everything if {
	history.allow with input as {"actor": {"id": "grace", "roles": ["auditor"]}}
}

test_others_see_nothing if {
	not history.allow with input as asked("intern", {"category": "order", "id": "1001"})
}

asked(role, aggregate) := {"actor": {"id": "ada", "roles": [role]}, "aggregate": aggregate}
