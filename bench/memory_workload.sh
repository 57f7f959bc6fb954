# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# For each line of SETTINGS ("NAME SECONDS MODE OPTIONS...", or "NAME SECONDS off"; apart by ;): starts the mode, runs STREAM
# for so long and the system set, and reports their figures with the monitor's and the sensor's own before and after.
# STREAM_ELEMENTS, WARM_UP_SECONDS, SET_SECONDS (each item of the set).
echo "$CONTROL_KEY" >/tmp/key
cat >/tmp/figures <<'END'
control() { ucctl --key-file /tmp/key --json "$@" | tr -d '\n'; }
read -r up _ </proc/uptime
echo "{\"uptime\": $up, \"memory\": $(control memory status), \"counters\": $(control counters)}" >"/tmp/$1"
END
echo "$SETTINGS" | tr ';' '\n' >/tmp/settings
while read -r name seconds mode options; do
    # shellcheck disable=SC2086 # several words
    [ "$mode" = off ] || ucctl --key-file /tmp/key --json memory "$mode" $options >/dev/null || { result "$name" '{"refused": true}'; continue; }
    stream=$(stream "$STREAM_ELEMENTS" "$seconds" "$WARM_UP_SECONDS" "sh /tmp/figures") || exit 1
    set=$(system_set "$SET_SECONDS") || exit 1
    sh /tmp/figures set_end
    result "$name" "{\"stream\": $stream, \"set\": $set, \"before\": $(cat /tmp/before), \"between\": $(cat /tmp/after), \"after\": $(cat /tmp/set_end)}"
    ucctl --key-file /tmp/key --json memory stop >/dev/null
done </tmp/settings
