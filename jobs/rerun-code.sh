#!/bin/sh
# Monday morning: rerun what failed with one code, once its cause is mended, and hand over the rest.
#
#   jobs/rerun-code.sh /srv/unenroll/cleanup 310011 rest.csv
#
# Refuses to start if more rows would be called than EXPECT says, where it is set.
set -eu

folder=$1
code=$2
rest=$3

status=0
bulk-unenroll retry "$folder" --code "$code" --rate "${RATE:-100/min}" ${EXPECT:+--expect "$EXPECT"} ||
    status=$?
bulk-unenroll export "$folder" --to "$rest" --state failed --state blocked --state review --state in_doubt
exit "$status"
