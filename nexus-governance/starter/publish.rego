package nexus.publish

# Everything that is stored is published; by which path is data: see bus/data.json.
allow := true

obligations["path"] := path

default path := "stream"

path := data.bus.paths[input.event.type]
