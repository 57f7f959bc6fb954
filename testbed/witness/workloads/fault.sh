# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Writes; at stage `fault` the host breaks the sensor's code; the next write meets it. The sensor's first minute must be over.
disk=$(disk test0)
write() { dd if=/dev/urandom of="$disk" bs=4k count="$2" seek="$1" oflag=direct conv=notrunc 2>/dev/null; }
while [ "$(cut -d. -f1 /proc/uptime)" -lt 62 ]; do sleep 1; done
write 0 64 || exit 1
stage fault
sleep 5
write 1000 1
result survived true
