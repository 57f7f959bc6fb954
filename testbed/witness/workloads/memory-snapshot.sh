# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Consistent snapshots while memory and the test disk are written to all the time. At stage `arm` the host waits for the
# instants at which sweeps are armed and saves memory then.
sweeps() { memory status | sed 's/.*"snapshot"//; s/"watch".*//; s/.*"cycles": *\([0-9]*\).*/\1/'; }
grep -E ' [^tTwW] | _text$' /proc/kallsyms | grep -v '\[' >/tmp/kallsyms # data is enough
report_file kallsyms /tmp/kallsyms
report_file version /proc/version
memory_load 900 &
load=$!
sleep 3
for folder in /proc/[0-9]*; do
    [ -r "$folder/comm" ] && echo "${folder#/proc/} $(cat "$folder/comm")"
done >/tmp/processes 2>/dev/null
report_file processes /tmp/processes
stage arm
sleep 5
result started "$(memory snapshot --consistent --every "$EVERY" --rate "$RATE")"
tries=0
until [ "$(sweeps)" -ge "$SWEEPS" ] || [ $tries -ge 300 ]; do
    sleep 1
    tries=$((tries + 1))
done
result status "$(memory status)"
result stopped "$(memory stop snapshot)"
kill $load
killall stress-ng fio
