#!/bin/sh
# Docker's HEALTHCHECK: one question to openshell-node, which looks at the API,
# the node, the workload, the Secrets and the published port. No network beyond
# the container is involved.
exec /usr/local/bin/openshell-node healthcheck
