package nexus.append

# What gives money back was decided by a command, and so by these policies.
deny contains {"message": message, "remedy": "send the command RefundOrder"} if {
	some event_type in input.event_types
	event_type == "OrderRefunded"
	not input.metadata.command
	message := sprintf("%v is not stored but by a command", [event_type])
}
