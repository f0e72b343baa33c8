package nexus.history

# Which roles may read what of the past is data: see history/data.json. A role reads categories, or everything by "*".
allow if {
	some role in input.actor.roles
	"*" in data.history.roles[role]
}

allow if {
	some role in input.actor.roles
	input.aggregate.category in data.history.roles[role]
}
