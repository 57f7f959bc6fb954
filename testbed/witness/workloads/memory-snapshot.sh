# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Consistent snapshots while memory is written to all the time. At stage `arm` the host waits for the instant at which
# a sweep is armed and saves memory then.
echo "$CONTROL_KEY" >/tmp/key
memory() { ucctl --key-file /tmp/key --json memory "$@" | tr -d '\n'; }
sweeps() { memory status | sed 's/.*"snapshot"//; s/"watch".*//; s/.*"cycles": *\([0-9]*\).*/\1/'; }
stress-ng --vm 2 --vm-bytes 48M --vm-keep --timeout 900 >/tmp/stress 2>&1 &
sleep 3
cat /proc/kallsyms >/tmp/kallsyms
report_file kallsyms /tmp/kallsyms
base64 /sys/kernel/btf/vmlinux >/tmp/btf # text, as files are reported
report_file btf /tmp/btf
report_file version /proc/version
for folder in /proc/[0-9]*; do
    [ -r "$folder/comm" ] && echo "${folder#/proc/} $(cat "$folder/comm")"
done >/tmp/processes 2>/dev/null
report_file processes /tmp/processes
stage arm
result started "$(memory snapshot --consistent --every "$EVERY" --rate "$RATE")"
tries=0
until [ "$(sweeps)" -ge "$SWEEPS" ] || [ $tries -ge 300 ]; do
    sleep 1
    tries=$((tries + 1))
done
result status "$(memory status)"
result stopped "$(memory stop snapshot)"
kill %1
