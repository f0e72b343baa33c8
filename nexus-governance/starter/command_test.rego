package nexus.command_test

import data.nexus.command

test_little_is_for_everybody_with_the_role if {
	count(command.deny) == 0 with input as refund(["clerk"], 1000) with data.limits.command as limits
}

test_much_is_for_who_may if {
	command.deny == {{
		"message": "ada may ask for 1000 cents at most, and not for 1001",
		"remedy": "ask one of: manager",
	}} with input as refund(["clerk"], 1001) with data.limits.command as limits
	count(command.deny) == 0 with input as refund(["clerk", "manager"], 1001) with data.limits.command as limits
}

test_who_is_not_named_may_nothing if {
	some denial in command.deny with input as object.remove(refund([], 1), ["actor"]) with data.limits.command as limits
	startswith(denial.message, "who is not named may ask for 0 cents at most")
}

test_so_much_is_for_nobody if {
	some denial in command.deny with input as refund(["manager"], 100001) with data.limits.command as limits
	denial.remedy == "ask for less: nobody may ask for so much"
}

test_what_is_limited_is_a_number if {
	every cents in [null, true, "5", [5000], {}] {
		count(command.deny) == 1 with input as refund(["manager"], cents) with data.limits.command as limits
	}
	count(command.deny) == 1 with input as {"command": {"name": "RefundOrder"}, "payload": {}} with data.limits.command as limits
}

test_a_limit_that_is_no_number_is_none if {
	count(command.deny) == 1 with input as refund(["clerk"], 5000) with data.limits.command as {"RefundOrder": {"cents": {"clerk": "9000"}}}
}

test_what_has_no_limit_is_for_the_domain_to_judge if {
	count(command.deny) == 0 with input as refund([], 5000) with data.limits.command as {}
}

limits := {"RefundOrder": {"cents": {"clerk": 1000, "manager": 100000}}}

refund(roles, cents) := {
	"operation": "command",
	"actor": {"id": "ada", "roles": roles, "claims": {}},
	"command": {"name": "RefundOrder", "version": 1},
	"payload": {"cents": cents},
}
