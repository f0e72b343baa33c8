package nexus.command_test

import data.nexus.command

test_a_clerk_refunds_little if {
	count(command.deny) == 0 with input as refund(["clerk"], 1000)
}

test_a_clerk_does_not_refund_much if {
	command.deny == {{
		"message": "ada may refund at most 1000 cents",
		"remedy": "ask one of: manager",
	}} with input as refund(["clerk"], 1001)
}

test_a_manager_refunds_more if {
	count(command.deny) == 0 with input as refund(["clerk", "manager"], 1001)
}

test_who_has_no_role_refunds_nothing if {
	count(command.deny) == 1 with input as refund([], 1)
}

test_who_is_not_named_refunds_nothing if {
	some denial in command.deny with input as object.remove(refund([], 1), ["actor"])
	startswith(denial.message, "who is not named may refund at most 0")
}

test_other_commands_are_for_the_shop_to_judge if {
	count(command.deny) == 0 with input as {"operation": "command", "command": {"name": "PayOrder"}, "payload": {"cents": 5000}}
}

refund(roles, cents) := {
	"operation": "command",
	"actor": {"id": "ada", "roles": roles, "claims": {}},
	"command": {"name": "RefundOrder", "version": 1},
	"payload": {"cents": cents, "reason": "scratched"},
}
