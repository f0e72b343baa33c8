package nexus.append_test

import data.nexus.append

test_a_refund_comes_by_a_command if {
	count(append.deny) == 0 with input as stored("OrderRefunded", {"command": "0199b1f6-0000-7000-8000-000000000000"})
	count(append.deny) == 1 with input as stored("OrderRefunded", {})
}

test_other_events_may_be_imported if {
	count(append.deny) == 0 with input as stored("OrderShipped", {})
}

stored(event_type, metadata) := {"operation": "append", "event_types": [event_type], "metadata": metadata}
