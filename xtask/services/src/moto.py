"""moto's server, with what it lacks of AWS Glue and Nexus needs: one call, and when a schema was made.

As `python serve.py -H 127.0.0.1 -p PORT`.
"""

import sys
from threading import Lock

from moto.core.responses import ActionResult
from moto.glue import glue_schema_registry_utils as limits
from moto.glue.glue_schema_registry_utils import validate_registry_id
from moto.glue.models import FakeSchema, GlueBackend
from moto.glue.responses import GlueResponse
from moto.server import main

LARGEST_PAGE = 100


def list_schemas(self):
    """https://docs.aws.amazon.com/glue/latest/webapi/API_ListSchemas.html"""
    registry_id = self._get_param("RegistryId") or {}
    registry = validate_registry_id(registry_id, self.glue_backend.registries)
    schemas = [
        {
            "RegistryName": registry,
            "SchemaName": name,
            "SchemaArn": schema.schema_arn,
            "SchemaStatus": schema.schema_status,
        }
        for name, schema in sorted(self.glue_backend.registries[registry].schemas.items())
    ]
    start = int(self._get_param("NextToken") or 0)
    end = start + int(self._get_param("MaxResults") or LARGEST_PAGE)
    page = {"Schemas": schemas[start:end]}
    if end < len(schemas):
        page["NextToken"] = str(end)
    return ActionResult(page)


GlueResponse.list_schemas = list_schemas

schema_as_dict = FakeSchema.as_dict
FakeSchema.as_dict = lambda schema: {**schema_as_dict(schema), "CreatedTime": str(schema.created_time)}

# Glue numbers the versions of a schema one by one; threads of moto may give two the same number.
LOCK = Lock()


def one_at_a_time(method):
    def locked(*args, **kwargs):
        with LOCK:
            return method(*args, **kwargs)

    return locked


GlueBackend.create_schema = one_at_a_time(GlueBackend.create_schema)
GlueBackend.register_schema_version = one_at_a_time(GlueBackend.register_schema_version)

# Each test has a registry of its own.
limits.MAX_REGISTRIES_ALLOWED = 10_000

main(sys.argv[1:])
