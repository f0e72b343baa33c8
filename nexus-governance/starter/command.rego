package nexus.command

# How much a command may ask for is data, by role: see limits/data.json. The highest limit of all roles counts.
deny contains {"message": message, "remedy": remedy} if {
	some field, by_role in data.limits.command[input.command.name]
	asked := input.payload[field]
	is_number(asked)
	most := max(array.concat([0], [limit | some role in roles; limit := by_role[role]; is_number(limit)]))
	asked > most
	message := sprintf("%v may ask for %v %v at most, and not for %v", [who, most, field, asked])
	remedy := whom_to_ask([role | some role, limit in by_role; is_number(limit); limit >= asked])
}

# What is limited has to be a number: a command that leaves it out may mean all there is.
deny contains {"message": message, "remedy": remedy} if {
	some field, _ in data.limits.command[input.command.name]
	not is_number(input.payload[field])
	message := sprintf("%v has no number as %v, which is limited", [input.command.name, field])
	remedy := sprintf("say how much %v there shall be", [field])
}

whom_to_ask(roles_of) := sprintf("ask one of: %v", [concat(", ", roles_of)]) if count(roles_of) > 0

whom_to_ask(roles_of) := "ask for less: nobody may ask for so much" if count(roles_of) == 0

default who := "who is not named"

who := input.actor.id

default roles := []

roles := input.actor.roles
