# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Short bursts, far faster than a small buffer is emptied, with rests in between; no trims. BURST_IOS per burst.
: "${BURST_IOS:=300}"
disk=$(disk test0)
common="--ioengine=libaio --direct=1 --serialize_overlap=1 --randseed=11 --minimal --output=/dev/null --filename=$disk"
for round in 1 2 3 4; do
    fio $common --name=burst$round --rw=randrw --rwmixread=25 --bssplit=512/15:4k/50:16k/30:64k/5 --iodepth=32 \
        --number_ios="$BURST_IOS" --fsync=100 || exit 1
    sleep 1
    fio $common --name=calm$round --rw=randwrite --bs=4k --iodepth=1 --number_ios=5 || exit 1
    sleep 1
done
