# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Ordinary file activity, a pause, then bulk encryption of the same files. Between them every file's hash is reported, and
# sector 1 is read alone: a read that nothing else makes, so that the host finds this moment in the sensor's records.
: "${QUIET:=6}"
. /run.d/workloads/files.sh
(cd /mnt && find home -type f -exec sha256sum {} +) >/tmp/hashes
report_file hashes /tmp/hashes
sync
sleep "$QUIET"
fio --name=mark --filename="$(disk test0)" --readonly --rw=read --direct=1 --bs=512 --offset=512 --size=512 >/dev/null || exit 1
. /run.d/workloads/encrypt.sh
