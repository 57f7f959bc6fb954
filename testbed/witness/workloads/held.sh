# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Reads and writes go on while the host has writes held (stage held), then writes only, with a time limit so short that the
# driver resets the port meanwhile (stage held_long).
disk=$(disk test0)
load() {
    fio --filename="$disk" --direct=1 --ioengine=libaio --time_based --runtime="$1" --norandommap --size=32m --bs=4k --randrepeat=1 \
        --name=reads --rw=randread --iodepth=1 --name=writes --rw=randwrite --iodepth=4 --fsync=64 --output-format=json --output=/tmp/fio.json
}
load 20 &
until [ "$(awk '{ print $5 }' "/sys/block/${disk#/dev/}/stat")" -gt 100 ]; do usleep 100000; done
stage held
wait $! || exit 1
report_file fio-held.json /tmp/fio.json
echo 4 >"/sys/block/${disk#/dev/}/device/timeout"
dmesg -c >/dev/null
dd if=/bin/busybox of="$disk" bs=4k count=100 seek=9000 oflag=direct conv=notrunc 2>/dev/null &
usleep 20000
stage held_long
wait $!
result exit_status_of_writes $?
dmesg >/tmp/dmesg
report_file dmesg /tmp/dmesg
head -c 409600 /bin/busybox | sha256sum | cut -d' ' -f1 >/tmp/wanted
dd if="$disk" bs=4k count=100 skip=9000 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1 | cmp - /tmp/wanted
result exit_status_of_compare $?
