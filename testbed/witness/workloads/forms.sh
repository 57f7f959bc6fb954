# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Instruction forms that drivers never use, against the test disk's controller and the sensor (testbed/guest/forms.c).
disk=$(disk test0)
device=$(basename "$(readlink -f "/sys/block/${disk#/dev/}" | sed 's|/ata.*||')")
echo "$device" >/sys/bus/pci/drivers/ahci/unbind
echo 1 >"/sys/bus/pci/devices/$device/enable"
modprobe msr 2>/dev/null
forms "/sys/bus/pci/devices/$device/resource5" >/tmp/forms.json
status=$?
report_file forms.json /tmp/forms.json
echo 0 >"/sys/bus/pci/devices/$device/enable"
echo "$device" >/sys/bus/pci/drivers/ahci/bind
tries=0
until [ -b "$(disk test0)" ] && dd if="$(disk test0)" of=/dev/null bs=512 count=16 iflag=direct 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -gt 50 ] && break
    usleep 100000
done
result disk_works_after "$([ $tries -le 50 ] && echo true || echo false)"
exit $status
