# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Single writes with nothing else to do in between, then the same while a program computes without a pause.
disk=$(disk test0)
writes() {
    count=0
    while [ $count -lt 25 ]; do
        dd if=/dev/urandom of="$disk" bs=4096 count=1 seek=$count oflag=direct 2>/dev/null || exit 1
        count=$((count + 1))
        usleep 300000
    done
}
writes
awk 'BEGIN { for (;;) x = (x + 7) % 1000003 }' &
busy=$!
writes
kill $busy
