#!/bin/sh
# Writes a spool of the present format version with a message in every state: `make.sh MQ OUT.tar.gz`.
# Run once per format version; what it wrote is read by every later version (tests/format.rs).
set -eu
mq=$1 out=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
spool=$dir/spool
m() { "$mq" --spool "$spool" "$@"; }
m create plain
m create tuned visibility=5m max-deliveries=1 dead-letter=graves delay=1h retention=3650d durability=none
m put plain -m 'ready, priority 5' --type text/plain --attr source=golden --attr 'note=ä "quoted"' --reply-to answers
m put plain -m 'ready, priority 9' -p 9
printf '\000\001\377 bytes\n' | m put plain --type application/octet-stream
seq 1 300 | m put lines --lines
m put later -m 'delayed' --delay 36500d
m put claimed -m 'claimed' --ttl 36500d
m get claimed --visibility 36500d --receipt-file "$dir/claimed.receipt"
m put logged -m 'failed twice'
m get logged -- false || true
m get logged -- sh -c 'cat >/dev/null; exit 75' || true
m put tuned -m 'used up' --delay 0s
m get tuned -- false || true
# A complete temporary whose writer is gone, and one that never got its header.
m put rolled -m 'complete, never published'
published=$(echo "$spool"/rolled/ready/5/000000000000/00/*)
id=$(basename "$published" | cut -d. -f3)
mv "$published" "$spool/rolled/tmp/$id"
touch -d 2001-01-01 "$spool/rolled/tmp/$id"
head -c 500 /dev/zero >"$spool/rolled/tmp/01000000-0000-7000-8000-000000000000"
touch -d 2001-01-01 "$spool/rolled/tmp/01000000-0000-7000-8000-000000000000"
tar -C "$dir" --owner=0 --group=0 --numeric-owner -czf "$out" spool claimed.receipt
