# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Capture is switched off and on again by ucctl, with writes before (LBA 0 on), between (LBA 8192 on) and after (LBA
# 16384 on); what ucctl says of it; requests with another key.
disk=$(disk test0)
echo "$CONTROL_KEY" >/tmp/key
echo "$CONTROL_KEY" | tr c d >/tmp/other
control() { ucctl --key-file /tmp/key --json "$@" | tr -d '\n'; }
write() { dd if=/dev/urandom of="$disk" bs=4k count=50 seek="$1" oflag=direct conv=notrunc 2>/dev/null; }
write 0 || exit 1
sleep 1
result status_on "$(control status)"
write 100 || exit 1
result stopped "$(control stop)"
control stop >/dev/null # changes nothing
write 1024 || exit 1
result started "$(control start)"
write 2048 || exit 1
result refused_before "$(control counters)"
ucctl --key-file /tmp/other status
result exit_status_other_key $?
result refused_after "$(control counters)"
# What an idle system costs.
result counters_before_idle "$(control counters)"
sleep 5
result counters_after_idle "$(control counters)"
