#!/bin/sh
# Installs what Telecine and the extras named in the arguments need into /opt/telecine: a step of the Dockerfile.
#
# Versions come from constraints.txt. The packages are compiled in a way that does not depend on the time, and listed in a
# CycloneDX bill of materials.
set -eu
python3 - "$@" >requirements.txt <<'END'
import sys, tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["dependencies"], sep="\n")
for extra in sys.argv[1:]:
    print(*project["optional-dependencies"][extra], sep="\n")
END
tools/bin/pip --python /opt/telecine/bin/python install --no-compile --constraint constraints.txt --requirement requirements.txt
python3 -m compileall -q --invalidation-mode unchecked-hash /opt/telecine/lib
mkdir -p /opt/telecine/share
tools/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
    --output-file /opt/telecine/share/packages.cdx.json /opt/telecine/bin/python
