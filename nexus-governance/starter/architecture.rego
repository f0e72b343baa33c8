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

is_apart(one, other) if {
	one.side != other.side
}

# Append-only: what happened is not changed, and not deleted.
deny contains {"rule": "event-records", "message": message, "remedy": remedy, "at": at} if {
	some changed in input.statements
	changed.statement in {"ALTER", "DELETE", "DROP", "MERGE", "REPLACE", "TRUNCATE", "UPDATE", "UPSERT"}
	changed.table in data.architecture.event_tables
	message := sprintf("%v %v changes event records", [changed.statement, changed.table])
	remedy := append_instead
	at := changed.at
}

deny contains {"rule": "event-records", "message": message, "remedy": remedy, "at": at} if {
	some called in input.calls
	called.table in data.architecture.event_tables
	message := sprintf("%v of %v changes event records", [called.call, called.table])
	remedy := append_instead
	at := called.at
}

deny contains {"rule": "event-records", "message": message, "remedy": remedy, "at": at} if {
	some called in input.calls
	not called.table
	not called.call in {"put_item", "Put::builder"}
	message := sprintf("%v may change event records: its table is not written here", [called.call])
	remedy := "name the table by a constant; if it holds no events, that is seen then"
	at := called.at
}

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
