# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# What the machine says of itself: must be the same with and without the sensor.
systemd-detect-virt >/tmp/systemd-detect-virt 2>&1
systemd-detect-virt --vm >>/tmp/systemd-detect-virt 2>&1
lscpu >/tmp/lscpu 2>&1
cpuid -r >/tmp/cpuid 2>&1
cat /proc/cpuinfo >/tmp/cpuinfo
dmesg | grep -i -E 'hypervisor|paravirt|kvm|svm|smpboot|microcode' | sed 's/^\[ *[0-9.]*\] //' >/tmp/dmesg
cat /sys/hypervisor/type >/tmp/sys-hypervisor 2>&1
for name in systemd-detect-virt lscpu cpuid cpuinfo dmesg sys-hypervisor; do report_file $name /tmp/$name; done
result detect_virt "\"$(systemd-detect-virt)\""
result cpuid_lines "$(wc -l </tmp/cpuid)"
