#!/bin/sh
# A nightly clean-up of a dropped file, for cron or any other scheduler:
#
#   0 2 * * *  /opt/unenroll/jobs/nightly-cleanup.sh /srv/drop/cleanup.csv /srv/unenroll/cleanup 05:00
#
# The base URL and the credentials come from the environment (see the README). A night that was not
# long enough, or was broken off, is gone on with the next night: `run` on the same folder calls only
# what is not settled. The exit code is the program's own; 75 says that last night's run still goes.
set -eu

input=$1
folder=$2
until=${3:-05:00}

exec bulk-unenroll run "$input" --out "$folder" --yes --stop-at "$until" \
    --rate "${RATE:-100/min}" --log-format json --log-file "$folder.log" --json
