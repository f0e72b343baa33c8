package nexus.command

# A refund is a matter of trust: how much somebody may give back is a matter of role.
deny contains {"message": message, "remedy": remedy} if {
	input.command.name == "RefundOrder"
	input.payload.cents > limit
	message := sprintf("%v may refund at most %v cents", [who, limit])
	remedy := sprintf("ask one of: %v", [concat(", ", [role | some role, most in data.limits.refund; most >= input.payload.cents])])
}

default limit := 0

limit := max([most | some role in input.actor.roles; most := data.limits.refund[role]])

default who := "who is not named"

who := input.actor.id
