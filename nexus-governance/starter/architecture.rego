package nexus.architecture

# Who asks for something and who looks at it are apart: what both need is shared.
deny contains {"rule": "sides", "message": message, "remedy": remedy, "at": at} if {
	some dependency in input.dependencies
	{dependency.from.side, dependency.to.side} == {"command", "query"}
	message := sprintf("%v is of the %v side and depends on %v of the %v side%v", [
		dependency.from.name, dependency.from.side, dependency.to.name, dependency.to.side, through(dependency),
	])
	remedy := "move what both need into a crate of side \"shared\", and send the rest over the bus"
	at := dependency.at
}

# What is shared takes no side.
deny contains {"rule": "shared", "message": message, "remedy": remedy, "at": at} if {
	some dependency in input.dependencies
	dependency.from.side == "shared"
	object.get(dependency.to, "side", "program") != "shared"
	message := sprintf("%v is shared and depends on %v, which is not%v", [dependency.from.name, dependency.to.name, through(dependency)])
	remedy := "move what is needed into a crate of side \"shared\""
	at := dependency.at
}

# A program puts sides together; a side that depends on it would have the other one, too.
deny contains {"rule": "programs", "message": message, "remedy": remedy, "at": at} if {
	some dependency in input.dependencies
	dependency.from.side in {"command", "query"}
	not dependency.to.side
	message := sprintf("%v is of the %v side and depends on the program %v%v", [
		dependency.from.name, dependency.from.side, dependency.to.name, through(dependency),
	])
	remedy := "move what is needed out of the program"
	at := dependency.at
}

# Services know each other's events, and nothing else.
deny contains {"rule": "services", "message": message, "remedy": remedy, "at": at} if {
	some dependency in input.dependencies
	dependency.from.service != dependency.to.service
	object.get(dependency.to, "side", "program") != "shared"
	message := sprintf("%v of service %v depends on %v of service %v%v", [
		dependency.from.name, dependency.from.service, dependency.to.name, dependency.to.service, through(dependency),
	])
	remedy := "depend on its shared crates alone, and reach it over the bus"
	at := dependency.at
}

# No direct calls: who is called has to be up, who is sent to does not.
deny contains {"rule": "direct-calls", "message": message, "remedy": remedy, "at": at} if {
	some named in input.addresses
	is_apart(named["crate"], named.of)
	message := sprintf("%v names %v, the address of %v", [named["crate"].name, named.address, named.of.name])
	remedy := "send it a command or have it publish an event, over the bus"
	at := named.at
}

is_apart(one, other) if one.service != other.service

is_apart(one, other) if {one.side, other.side} == {"command", "query"}

# Append-only: what happened is not changed, and not deleted.
deny contains {"rule": "event-records", "message": message, "remedy": append_instead, "at": at} if {
	some changed in input.statements
	changed.statement in {"ALTER", "DELETE", "DROP", "MERGE", "REPLACE", "TRUNCATE", "UPDATE", "UPSERT"}
	is_for_events(changed.table)
	message := sprintf("%v %v changes event records", [changed.statement, changed.table])
	at := changed.at
}

deny contains {"rule": "event-records", "message": message, "remedy": append_instead, "at": at} if {
	some called in input.calls
	is_for_events(called.table)
	message := sprintf("%v of %v changes event records", [called.call, called.table])
	at := called.at
}

deny contains {"rule": "event-records", "message": message, "remedy": remedy, "at": at} if {
	some called in input.calls
	not called.table
	message := sprintf("%v may change event records: what it is for is not written here", [called.call])
	remedy := "name it by a text or a constant in the same chain of calls; if it has no events, that is seen then"
	at := called.at
}

# What keeps the stores from changing them is not taken away.
deny contains {"rule": "event-records", "message": message, "remedy": "leave it where it is", "at": at} if {
	some changed in input.statements
	changed.statement == "DROP"
	last_part(changed.table) in data.architecture.event_guards
	message := sprintf("DROP %v takes away what keeps event records from being changed", [changed.table])
	at := changed.at
}

# Without this nothing would be seen.
deny contains {"rule": "event-records", "message": message, "remedy": remedy, "at": at} if {
	not has_event_tables
	some index, one in input.crates
	index == 0
	message := "data.architecture.event_tables does not name the tables that have event records"
	remedy := "write them into architecture/data.json: {\"event_tables\": [\"events\"]}"
	at := one.at
}

has_event_tables if {
	is_array(data.architecture.event_tables)
	count(data.architecture.event_tables) > 0
}

# A table is named with its schema or without; one that is listed without is meant in every schema.
is_for_events(table) if {
	some listed in data.architecture.event_tables
	lower(listed) == lower(table)
}

is_for_events(table) if {
	some listed in data.architecture.event_tables
	lower(listed) == last_part(table)
}

last_part(table) := parts[count(parts) - 1] if parts := split(lower(table), ".")

append_instead := "append an event that says what is different now; what has to be forgotten is encrypted under a key that can be destroyed"

# Registered schemas only.
deny contains {"rule": "registered-events", "message": message, "remedy": remedy, "at": at} if {
	some event in input.events
	not event.is_former
	not is_registered(event)
	message := sprintf("event %v%v has no registered schema", [event.type, version_of(event)])
	remedy := sprintf("register one: nexus-governance schema register FILE --id event/%v/%v.0.0", [event.type, object.get(event, "version", 1)])
	at := event.at
}

is_registered(event) if {
	some schema in input.schemas
	schema.kind == "event"
	schema.name == event.type
	schema.is_released
	object.get(event, "version", schema.major) == schema.major
}

version_of(event) := sprintf(" version %v", [event.version])

version_of(event) := "" if not event.version

through(dependency) := "" if count(dependency.through) == 0

through(dependency) := sprintf(", by way of %v", [concat(", ", dependency.through)]) if count(dependency.through) > 0
