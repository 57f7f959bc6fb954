# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Reads and writes from Xen's first domain. Everything is slow there: few and small.
result hypervisor "\"$(cat /sys/hypervisor/type 2>/dev/null)\""
disk=$(disk test0)
dd if=/dev/urandom of="$disk" bs=64k count=20 seek=7 oflag=direct conv=notrunc,fsync 2>/dev/null || exit 1
dd if=/dev/urandom of="$disk" bs=4k count=100 seek=2000 oflag=direct conv=notrunc 2>/dev/null || exit 1
dd if="$disk" of=/dev/null bs=32k count=20 skip=11 iflag=direct 2>/dev/null
