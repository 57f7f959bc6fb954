# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Writes of several sizes by bus-master DMA (less than a page goes through the page cache), and reads. Programs are
# busybox's: Bochs is slow. Its disks announce no write cache, so Linux sends no flushes.
result cpus_online "\"$(cat /sys/devices/system/cpu/online)\""
disk=$(disk test0)
put() { dd if=/bin/busybox of="$disk" bs="$1" count="$2" seek="$3" oflag=direct 2>/dev/null || exit 1; }
put 512 9 3
put 4096 40 64
put 65536 4 40
put 262144 2 20
head -c 4096 /dev/zero | dd of="$disk" bs=4096 seek=70 oflag=direct 2>/dev/null || exit 1
dd if=/bin/busybox of="$disk" bs=64k count=8 seek=200 conv=fsync 2>/dev/null || exit 1
# From another CPU, if there is one.
if [ "$CPUS" -gt 1 ]; then taskset 2 dd if=/bin/busybox of="$disk" bs=4096 count=20 seek=3000 oflag=direct 2>/dev/null || exit 1; fi
dd if="$disk" of=/dev/null bs=4096 count=30 iflag=direct 2>/dev/null || exit 1
dd if="$disk" of=/dev/null bs=65536 count=3 skip=100 iflag=direct 2>/dev/null || exit 1
result memory_map "\"$(memory_map)\""
result address_bits "$(address_bits)"
