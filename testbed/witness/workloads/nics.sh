# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# A short burst, and a look for the sensor's card: in configuration space, among Linux's interfaces and in the PCI
# windows, whose first SCAN_PAGES pages are read (the host checks that the card's registers are among them).
disk=$(disk test0)
fio --ioengine=libaio --direct=1 --serialize_overlap=1 --randseed=5 --minimal --output=/dev/null --filename="$disk" \
    --name=burst --rw=randrw --rwmixread=25 --bssplit=4k/50:16k/40:64k/10 --iodepth=16 --number_ios=150 --fsync=50 || exit 1
for function in /sys/bus/pci/devices/*; do
    echo "${function##*/} $(cat "$function/vendor") $(cat "$function/device") $(cat "$function/class")"
done >/tmp/pci
ls /sys/class/net >/tmp/interfaces
cat /proc/iomem >/tmp/iomem
sed -n 's/^\([0-9a-f]*\)-[0-9a-f]* : PCI Bus 0000:00$/\1/p' /tmp/iomem | while read -r first; do
    page=0
    [ $((0x$first)) -lt 1048576 ] && continue
    while [ $page -lt "$SCAN_PAGES" ]; do
        address=$((0x$first + page * 4096))
        echo "$address $(busybox devmem $address 32)"
        page=$((page + 1))
    done
done >/tmp/windows
for name in pci interfaces iomem windows; do report_file $name /tmp/$name; done
