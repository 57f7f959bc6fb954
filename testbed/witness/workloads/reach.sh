# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Tries to reach the largest reserved range of RAM, which beneath the sensor is the sensor's (the host checks that),
# by CPU and by disk commands aimed at it. REGION="FIRST LAST" aims elsewhere. The host has laid a pattern at
# PATTERN_LBA and another at SCRATCH_LBA of the disk: the sensor must never have had them in its own buffers.
disk=$(disk test0)
cat /proc/iomem >/tmp/iomem
report_file iomem /tmp/iomem
if [ -z "$REGION" ]; then
    best=0
    while IFS=' -:' read -r first last name; do
        [ "$name" = Reserved ] || continue
        first=$((0x$first)) last=$((0x$last)) size=$((last - first))
        [ $first -ge 1048576 ] && [ $last -lt $((0x80000000)) ] && [ $size -gt $best ] && best=$size REGION="$first $last"
    done <<END
$(sed 's/^ *//; s/ : / /' /tmp/iomem)
END
fi
result region "\"$REGION\""
device=$(basename "$(readlink -f "/sys/block/${disk#/dev/}" | sed 's|/ata.*||')")
echo "$device" >/sys/bus/pci/drivers/ahci/unbind
echo 1 >"/sys/bus/pci/devices/$device/enable"
printf '\007\000' | dd of="/sys/bus/pci/devices/$device/config" bs=1 seek=4 conv=notrunc 2>/dev/null
result memory_map "\"$(memory_map)\""
result address_bits "$(address_bits)"
stage before-reach
usleep 500000
# shellcheck disable=SC2086
reach $REGION "$PATTERN_LBA" "$SCRATCH_LBA" "/sys/bus/pci/devices/$device/resource5" >/tmp/reach.json
status=$?
stage after-reach
usleep 500000
report_file reach.json /tmp/reach.json
echo 0 >"/sys/bus/pci/devices/$device/enable"
echo "$device" >/sys/bus/pci/drivers/ahci/bind
link_tries=0
until [ -b "$(disk test0)" ] && dd if="$(disk test0)" of=/tmp/end bs=512 skip="$PATTERN_LBA" count=16 iflag=direct 2>/dev/null; do
    link_tries=$((link_tries + 1))
    [ $link_tries -gt 50 ] && break
    usleep 100000
done
result disk_works_after "$(grep -q 'brought by a disk' /tmp/end && echo true || echo false)"
exit $status
