# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# Known pages beneath the watch on a quiet machine; then one mode after the other beneath load (memory_load).
# MODES (`touched`: the first part; `plain`: the load alone), SECONDS_EACH. At stages `sample_NAME` the host looks where the
# processors are.
watch_touched() {
    with touched touch_pages kinds 300 3 "$SEED" 0
    result touched_before 0
    result touched_watch "$(memory watch --budget 5%)"
    sleep 6
    for pass in 0 1 2; do
        result touched_begin $pass
        echo >&3
        until grep -q "\"pass\": $pass" /tmp/touched; do usleep 50000; done
        result touched_end $pass
        sleep 4
    done
    result touched_status "$(memory status)"
    result touched_stopped "$(memory stop watch)"
    finish
}
# loaded NAME: tells what the load's disk commands were, too.
loaded() {
    case $1 in plain | watch) stage "sample_$1" ;; esac
    memory_load "$SECONDS_EACH" || exit 1
    result "${1}_disk" "[$(sed -n 's/.*"total_ios" : \([0-9]*\).*/\1/p' /tmp/fio.json | tr '\n' ',' | sed 's/,$//')]"
}
# run NAME MODE OPTIONS...
run() {
    name=$1
    shift
    result "${name}_started" "$(memory "$@")"
    loaded "$name"
    result "${name}_status" "$(memory status)"
    result "${name}_stopped" "$(memory stop)"
}
for mode in $MODES; do
    case $mode in
    touched) watch_touched ;;
    plain) loaded plain ;;
    access) run access access --every 2s ;;
    written) run written written --thin 16 ;;
    live) run live snapshot --every 5s --rate 20M ;;
    consistent) run consistent snapshot --consistent --every 5s --rate 20M ;;
    watch) run watch watch --budget 5% ;;
    esac
done
dmesg >/tmp/dmesg
report_file dmesg /tmp/dmesg
