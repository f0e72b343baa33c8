package nexus.append

# Registered schemas only: what nobody has described, nobody can read in ten years.
deny contains {"message": message, "remedy": "register it with `nexus-governance schema register`"} if {
	some event in input.events
	event.is_registered == false
	message := sprintf("%v version %v has no registered schema", [event.type, event.version])
}

deny contains {"message": "limits/data.json does not say how many events an append may have", "remedy": "write {\"append\": {\"events\": 1000}}"} if {
	not is_number(data.limits.append.events)
}

# A commit is stored, read and replayed as one.
deny contains {"message": message, "remedy": "store less at once: split the command"} if {
	count(input.events) > data.limits.append.events
	message := sprintf("%v events are more than the %v that one append may have", [count(input.events), data.limits.append.events])
}
