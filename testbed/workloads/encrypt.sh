# Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0
# disks: 1
# Bulk encryption of the files that `files` made, with ordinary tools and in the manner of ransomware: read a file,
# write an encrypted copy, overwrite and delete the original. Documents by openssl, pictures by gpg, the rest by 7z.
[ -d /mnt/home ] || . /run.d/workloads/files.sh
export GNUPGHOME=/tmp/gnupg OPENSSL_CONF=/dev/null
mkdir -p -m 700 $GNUPGHOME

destroy() {
    size=$(stat -c %s "$1")
    dd if=/dev/urandom of="$1" bs="$size" count=1 conv=notrunc,fsync 2>/dev/null
    rm "$1"
}
by_openssl() { openssl enc -aes-256-ctr -pbkdf2 -iter 1000 -pass pass:test-bed -in "$1" -out "$1.enc" && destroy "$1"; }
by_gpg() {
    gpg --batch --quiet --no-tty --pinentry-mode loopback --passphrase test-bed --s2k-count 65536 -z 0 --symmetric "$1" && destroy "$1"
}
encrypt_set() {
    for file in "$1"/documents/*; do by_openssl "$file" || return 1; done
    for file in "$1"/pictures/*; do by_gpg "$file" || return 1; done
    (cd "$1" && 7z a -bso0 -bsp0 -mx1 -ptest-bed -mhe=on tables.7z tables documents.tar.gz) || return 1
    for file in "$1"/tables/* "$1"/documents.tar.gz; do destroy "$file"; done
}
encrypt_all() {
    for set in /mnt/home/set*; do encrypt_set "$set" || return 1; done
    sync
}
sync
echo 3 >/proc/sys/vm/drop_caches
# What is written reaches the disk within seconds, as on desktop systems; Linux's default is half a minute.
echo 100 >/proc/sys/vm/dirty_writeback_centisecs
echo 200 >/proc/sys/vm/dirty_expire_centisecs
result encryption_started "\"$(utc_now)\""
timed encryption encrypt_all
encrypted=$?
result encryption_ended "\"$(utc_now)\""
result encrypted_files "$(find /mnt/home -name '*.enc' -o -name '*.gpg' -o -name '*.7z' | wc -l)"
umount /mnt || encrypted=1
exit $encrypted
