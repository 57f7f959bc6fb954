# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# A write every quarter of a second, before and after the host lets its time server's clock jump.
disk=$(disk test0)
writes() {
    count=0
    while [ $count -lt "$1" ]; do
        dd if=/dev/urandom of="$disk" bs=4096 count=1 seek=$count oflag=direct 2>/dev/null || exit 1
        count=$((count + 1))
        usleep 250000
    done
}
writes 24
stage clock-jumps
writes 48
