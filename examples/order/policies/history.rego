package nexus.history

allow if "auditor" in input.actor.roles

# A clerk sees orders, and nothing else.
allow if {
	"clerk" in input.actor.roles
	input.aggregate.category == "order"
}
