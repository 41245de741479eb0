#!/bin/sh
# A Python without packages, as the tests of the export need one.
exec python3 -I -S "$@"
