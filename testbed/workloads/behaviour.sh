# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# One of testbed/behaviour's workloads, or the documents they work on. Settings: BEHAVIOUR (prepare or run), WORKLOAD_NAME,
# SEED, FILE_SYSTEM, SECONDS_EACH, FILES.
cd /run.d && PYTHONPATH=/run.d PYTHONDONTWRITEBYTECODE=1 python3.11 -m testbed.behaviour.guest "$BEHAVIOUR" "$(disk test0)" "$FILE_SYSTEM" "$SEED" \
    "$WORKLOAD_NAME" "$SECONDS_EACH" "$FILES" >/tmp/behaviour.out 2>&1
status=$?
[ -s /tmp/behaviour.out ] && report_file behaviour.out /tmp/behaviour.out
[ -s /tmp/behaviour.json ] && report_file behaviour.json /tmp/behaviour.json
exit $status
