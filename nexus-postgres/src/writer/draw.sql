-- Positions for appends with conditions: behind the marker, before anybody else's are looked at.
WITH m AS MATERIALIZED (SELECT :marker) SELECT nextval('nexus.positions') FROM m, generate_series(1, $1)
