package nexus.architecture_test

import data.nexus.architecture

test_each_side_depends_on_what_is_shared if {
	count(architecture.deny) == 0 with input as depends(of("order", "command"), of("order", "shared"))
	count(architecture.deny) == 0 with input as depends(of("order", "query"), of("billing", "shared"))
	count(architecture.deny) == 0 with input as depends(program, of("order", "query"))
}

test_no_side_depends_on_the_other if {
	rules == {"sides"} with input as depends(of("order", "command"), of("order", "query"))
	rules == {"sides"} with input as depends(of("order", "query"), of("order", "command"))
	some denial in architecture.deny with input as by_way_of("between", of("order", "query"), of("order", "command"))
	denial.message == "order-query is of the query side and depends on order-command of the command side, by way of between"
	denial.at.line == 1
}

test_what_is_shared_takes_no_side if {
	rules == {"shared"} with input as depends(of("order", "shared"), of("order", "query"))
	rules == {"shared"} with input as depends(of("order", "shared"), program)
}

test_nothing_depends_on_a_program if rules == {"programs"} with input as depends(of("order", "query"), program)

test_services_are_apart if rules == {"services"} with input as depends(of("order", "command"), of("billing", "command"))

test_nobody_is_called_directly if {
	rules == {"direct-calls"} with input as names(of("order", "command"), of("billing", "command"))
	rules == {"direct-calls"} with input as names(of("order", "command"), of("order", "query"))
	count(architecture.deny) == 0 with input as names(of("order", "command"), of("order", "command"))
	count(architecture.deny) == 0 with input as names(program, of("order", "command"))
}

test_events_are_not_changed if {
	rules == {"event-records"} with input as changes("DELETE", "events") with data.architecture as tables
	rules == {"event-records"} with input as changes("UPDATE", "shop.events") with data.architecture as tables
	rules == {"event-records"} with input as changes("UPDATE", "nexus.tags") with data.architecture as tables
	count(architecture.deny) == 0 with input as changes("INSERT", "events") with data.architecture as tables
	count(architecture.deny) == 0 with input as changes("DELETE", "carts") with data.architecture as tables
	count(architecture.deny) == 0 with input as changes("DELETE", "tags") with data.architecture as tables
}

test_guards_stay if {
	rules == {"event-records"} with input as changes("DROP", "nexus.never_changed") with data.architecture as tables
	count(architecture.deny) == 0 with input as changes("DROP", "carts") with data.architecture as tables
}

test_the_tables_of_events_have_to_be_named if {
	every given in [{}, {"event_tables": []}, {"event_tables": "events"}] {
		rules == {"event-records"} with input as {"crates": [object.union(program, {"at": at})]} with data.architecture as given
	}
	count(architecture.deny) == 0 with input as {"crates": [object.union(program, {"at": at})]} with data.architecture as tables
}

test_sdks_do_not_change_events if {
	rules == {"event-records"} with input as {"calls": [{"call": "put_item", "table": "events", "at": at}]} with data.architecture as tables
	rules == {"event-records"} with input as {"calls": [{"call": "delete_item", "at": at}]} with data.architecture as tables
	count(architecture.deny) == 0 with input as {"calls": [{"call": "delete_item", "table": "carts", "at": at}]} with data.architecture as tables
}

test_events_are_registered if {
	count(architecture.deny) == 0 with input as declares({"type": "OrderPaid", "version": 1, "is_former": false, "at": at})
	count(architecture.deny) == 0 with input as declares({"type": "OrderPaid", "is_former": false, "at": at})
	count(architecture.deny) == 0 with input as declares({"type": "OrderSeen", "version": 1, "is_former": true, "at": at})
	rules == {"registered-events"} with input as declares({"type": "OrderPaid", "version": 2, "is_former": false, "at": at})
	rules == {"registered-events"} with input as declares({"type": "OrderDrafted", "is_former": false, "at": at})
}

rules contains rule if {
	some denial in architecture.deny
	rule := denial.rule
}

tables := {"event_tables": ["Events", "nexus.tags"], "event_guards": ["never_changed"]}

changes(statement, table) := {"statements": [{"crate": program, "statement": statement, "table": table, "at": at}]}

at := {"file": "src/lib.rs", "line": 1, "column": 1}

program := {"name": "order", "service": "order"}

of(service, side) := {"name": sprintf("%v-%v", [service, side]), "service": service, "side": side}

depends(from, to) := {"dependencies": [{"from": from, "to": to, "through": [], "at": at}]}

by_way_of(name, from, to) := {"dependencies": [{"from": from, "to": to, "through": [name], "at": at}]}

names(from, to) := {"addresses": [{"crate": from, "address": "order:80", "of": to, "at": at}]}

declares(event) := {"events": [event], "schemas": [
	{"kind": "event", "name": "OrderPaid", "major": 1, "version": "1.2.0", "is_released": true},
	{"kind": "event", "name": "OrderDrafted", "major": 1, "version": "1.0.0", "is_released": false},
	{"kind": "command", "name": "OrderPaid", "major": 2, "version": "2.0.0", "is_released": true},
]}
