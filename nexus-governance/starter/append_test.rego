package nexus.append_test

import data.nexus.append

test_what_is_registered_is_stored if {
	count(append.deny) == 0 with input as {"events": [event(true)]}
}

test_what_is_not_registered_is_not_stored if {
	append.deny == {{
		"message": "OrderPaid version 1 has no registered schema",
		"remedy": "register it with `nexus-governance schema register`",
	}} with input as {"events": [event(true), event(false)]}
}

test_a_store_without_schemas_is_not_asked_for_them if {
	count(append.deny) == 0 with input as {"events": [{"type": "OrderPaid", "version": 1}]}
}

test_an_append_is_of_bounded_length if {
	count(append.deny) == 0 with input as {"events": [event(true), event(true)]} with data.limits.append.events as 2
	count(append.deny) == 1 with input as {"events": [event(true), event(true)]} with data.limits.append.events as 1
}

test_the_length_has_to_be_said if {
	count(append.deny) == 1 with input as {"events": [event(true)]} with data.limits.append as {}
	count(append.deny) == 1 with input as {"events": [event(true)]} with data.limits.append.events as "many"
}

event(is_registered) := {"type": "OrderPaid", "version": 1, "is_registered": is_registered}
