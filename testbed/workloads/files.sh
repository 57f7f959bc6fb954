# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Ordinary file activity on an ext4 file system: create, copy, compress, read, edit, delete.
# Settings: FILE_SETS (default 6; about 3 MB each), PACE (seconds of rest between steps, default 0.5).
: "${FILE_SETS:=6}" "${PACE:=0.5}"
home=/mnt/home

prepare_file_system() {
    [ -d $home ] && return
    timed mkfs mkfs.ext4 -q -F "$(disk test0)" || return 1
    mount -t ext4 -o discard "$(disk test0)" /mnt && mkdir -p $home
}
# Text with the letter statistics of prose, spreadsheets as CSV, and pictures (incompressible, as JPEG is). Text and
# tables are made once and then begun at another place for each file, so that no two files are equal.
make_sources() {
    awk 'BEGIN { srand(1); n = split("the quick report about our yearly budget and plans for next season was sent to every member of staff who asked to see a copy before meeting them in person on monday", w, " ");
        for (line = 0; line < 1200; line++) { s = ""; for (i = 0; i < 12; i++) s = s w[int(rand() * n) + 1] " "; print s } }' >/tmp/text
    awk 'BEGIN { srand(2); for (line = 0; line < 6000; line++) printf "%d,%d,%.2f,2024-%02d-%02d,open\n", line, rand() * 1e6, rand() * 1000, rand() * 12 + 1, rand() * 28 + 1 }' >/tmp/orders
}
make_set() {
    folder=$home/set$1
    mkdir -p "$folder/documents" "$folder/tables" "$folder/pictures"
    for number in 1 2 3 4 5; do
        for part in 1 2 3 4; do tail -c +$(($1 * 613 + number * part * 97)) /tmp/text; done >"$folder/documents/letter$number.txt"
    done
    tail -n +$(($1 * 50)) /tmp/orders >"$folder/tables/orders.csv"
    for number in 1 2; do dd if=/dev/urandom of="$folder/pictures/image$number.jpg" bs=64k count=$((number * 4 + 8)) 2>/dev/null; done
    sync
}
for_each_set() {
    current_set=1
    while [ $current_set -le "$FILE_SETS" ]; do "$@" $current_set; current_set=$((current_set + 1)); done
}
create_files() { make_sources; for_each_set make_set; }
copy_set() { cp -r $home/set"$1"/documents $home/set"$1"/backup; }
copy_files() { for_each_set copy_set; sync; }
compress_set() { (cd $home/set"$1" && zip -q -r tables.zip tables && tar -czf documents.tar.gz documents); }
compress_files() { for_each_set compress_set; sync; }
# Caches are dropped, so that reading reaches the disk.
read_files() { sync; echo 3 >/proc/sys/vm/drop_caches; find $home -type f -exec cat {} + | sha256sum >/dev/null; }
edit_set() {
    for number in 1 2 3; do echo "Amended: paragraph $number" >>$home/set"$1"/documents/letter$number.txt; done
    printf 'CHANGED' | dd of=$home/set"$1"/documents/letter4.txt bs=1 seek=30000 conv=notrunc 2>/dev/null
    sed -i 's/open/paid/' $home/set"$1"/tables/orders.csv
    sync
}
edit_files() { for_each_set edit_set; }
delete_set() { rm -r $home/set"$1"/backup; rm $home/set"$1"/tables.zip; }
delete_files() { for_each_set delete_set; sync; }

prepare_file_system || exit 1
for step in create copy compress read edit delete; do
    timed ${step}_files ${step}_files
    sleep "$PACE"
done
result files_left "$(find $home -type f | wc -l)"
result megabytes_left "$(du -sm $home | cut -f1)"
