package nexus.command

# How much a command may ask for is data, by role: see limits/data.json. The highest limit of all roles counts.
deny contains {"message": message, "remedy": remedy} if {
	some field, by_role in data.limits.command[input.command.name]
	asked := input.payload[field]
	most := max(array.concat([0], [limit | some role in roles; limit := by_role[role]]))
	asked > most
	message := sprintf("%v may ask for %v %v at most, and not for %v", [who, most, field, asked])
	able := concat(", ", [role | some role, limit in by_role; limit >= asked])
	remedy := sprintf("ask one of: %v", [able])
}

default who := "who is not named"

who := input.actor.id

default roles := []

roles := input.actor.roles
