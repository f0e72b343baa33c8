package nexus.publish

# Everything that is stored is published; by which path is data: see bus/data.json.
deny := []

obligations["path"] := path

default path := "stream"

path := data.bus.paths[input.event.type]
