# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# At least FIO_WRITES (default 22000) writes: raw disk, then ext4; queue depth 32; random and sequential; 512 bytes to
# 1 MiB; flushes and trims in between. No two requests in flight overlap, so the final contents are defined.
: "${FIO_WRITES:=22000}"
disk=$(disk test0)
sizes=512/20:4k/55:16k/18:64k/6:1m/1
common="--ioengine=libaio --direct=1 --iodepth=32 --serialize_overlap=1 --group_reporting --output-format=json --randseed=7"
raw() {
    name=$1
    shift
    timed "fio_$name" fio $common --name="$name" --filename="$disk" --output=/tmp/fio-$name.json "$@"
    status=$?
    report_file "fio-$name.json" /tmp/fio-$name.json
    return $status
}
writes_now() { awk '{ printf "{\"reads\":%d,\"writes\":%d,\"discards\":%d,\"flushes\":%d}", $1, $5, $12, $16 }' "/sys/block/${disk#/dev/}/stat"; }

raw random --rw=randrw --rwmixread=20 --bssplit=$sizes --number_ios=$((FIO_WRITES * 62 / 100)) --fsync=200 || exit 1
raw sequential --rw=write --bs=64k --number_ios=$((FIO_WRITES * 5 / 100)) --fsync=100 || exit 1
raw small --rw=write --bs=512 --number_ios=$((FIO_WRITES * 20 / 100)) --fsync=500 || exit 1
raw trim --rw=trimwrite --bs=256k --iodepth=1 --number_ios=200 || exit 1
raw big --rw=randwrite --bs=1m --number_ios=60 || exit 1
result raw_counts "$(writes_now)"

/tools/usr/sbin/blkdiscard "$disk" || exit 1
mkfs.ext4 -q -F "$disk" && mount -t ext4 "$disk" /mnt || exit 1
timed fio_ext4 fio $common --name=ext4 --directory=/mnt --size=24m --nrfiles=4 --rw=randwrite \
    --bssplit=512/10:4k/60:16k/25:64k/5 --number_ios=$((FIO_WRITES * 25 / 100)) --fsync=100 \
    --output=/tmp/fio-ext4.json || exit 1
report_file fio-ext4.json /tmp/fio-ext4.json
rm /mnt/ext4.0.1
sync
/tools/usr/sbin/fstrim /mnt || exit 1
umount /mnt
result counts "$(writes_now)"
