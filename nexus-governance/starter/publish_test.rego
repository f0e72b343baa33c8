package nexus.publish_test

import data.nexus.publish

test_an_event_takes_the_path_of_its_type if {
	publish.obligations.path == "queue" with input as {"event": {"type": "OrderPaid"}} with data.bus.paths as {"OrderPaid": "queue"}
}

test_others_take_the_stream if {
	publish.obligations.path == "stream" with input as {"event": {"type": "OrderPaid"}} with data.bus.paths as {}
	publish.allow
}
