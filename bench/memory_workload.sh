# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# For each line of /run.d/settings ("NAME MODE OPTIONS...", or "NAME off"): starts the mode, runs STREAM and the system
# set, and reports their figures with the monitor's and the sensor's own before and after. STREAM_ELEMENTS,
# STREAM_REPEATS, SET_SECONDS.
echo "$CONTROL_KEY" >/tmp/key
control() { ucctl --key-file /tmp/key --json "$@" | tr -d '\n'; }
figures() { echo "{\"uptime\": $(uptime_seconds), \"memory\": $(control memory status), \"counters\": $(control counters)}"; }
echo "$SETTINGS" | tr ';' '\n' >/tmp/settings
while read -r name mode options; do
    # shellcheck disable=SC2086 # several words
    [ "$mode" = off ] || control memory "$mode" $options >/dev/null || { result "$name" '{"refused": true}'; continue; }
    sleep 1
    before=$(figures)
    stream=$(stream "$STREAM_ELEMENTS" "$STREAM_REPEATS") || exit 1
    between=$(figures)
    set=$(system_set "$SET_SECONDS") || exit 1
    after=$(figures)
    result "$name" "{\"stream\": $stream, \"set\": $set, \"before\": $before, \"between\": $between, \"after\": $after}"
    control memory stop >/dev/null
done </tmp/settings
